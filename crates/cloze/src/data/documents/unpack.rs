//! Files as they are, or unpacked while they are read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::inputs::Compression;
use crate::error::{Error, at};

/// A file that is read through its compression.
pub(crate) struct Unpacked {
    pub(crate) reader: Box<dyn BufRead>,
    /// Bytes read of the file itself.
    pub(super) bytes_done: Rc<Cell<u64>>,
}

pub(crate) fn open(path: &Path, compression: Compression) -> Result<Unpacked, Error> {
    let bytes_done = Rc::new(Cell::new(0));
    let file = File::open(path).map_err(at("read", path))?;
    let file = BufReader::with_capacity(1 << 16, Counted { file, bytes: Rc::clone(&bytes_done) });
    let reader: Box<dyn BufRead> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        Compression::Zstd => {
            let frames = ZstdFrames { source: file, decoder: FrameDecoder::new(), is_within: false };
            Box::new(BufReader::with_capacity(1 << 16, frames))
        }
    };
    Ok(Unpacked { reader, bytes_done })
}

/// All of a packed file, unpacked, for formats that are not read from front to back. The new file has no name, and is
/// gone when it is closed.
pub(super) fn to_temporary_file(path: &Path, compression: Compression) -> Result<File, Error> {
    let unwritten = |source: io::Error| {
        let message = format!(
            "cannot be unpacked into the folder for temporary files, {} ({source}); make room there, or choose another \
             folder by the variable TMPDIR",
            std::env::temp_dir().display()
        );
        Error::Data { path: path.to_path_buf(), line: None, message }
    };
    let mut packed = open(path, compression)?.reader;
    let mut whole = tempfile::tempfile().map_err(unwritten)?;
    loop {
        let bytes = packed.fill_buf().map_err(|source| damaged(path, None, compression, source))?;
        if bytes.is_empty() {
            return Ok(whole);
        }
        whole.write_all(bytes).map_err(unwritten)?;
        let read = bytes.len();
        packed.consume(read);
    }
}

/// The error of a file that cannot be read on, in a text from a line on.
pub(crate) fn damaged(path: &Path, line: Option<usize>, compression: Compression, source: io::Error) -> Error {
    let path = path.to_path_buf();
    let (name, test) = match compression {
        Compression::None => return Error::Io { action: "read", path, source },
        Compression::Gzip => ("gzip", "gzip -t"),
        Compression::Zstd => ("zstd", "zstd -t"),
    };
    let place = if line.is_some() { "from here on the" } else { "the" };
    let message = format!(
        "{place} {name} data is damaged or cut off ({source}); test the file with `{test}`, and fetch it again"
    );
    Error::Data { path, line, message }
}

struct Counted {
    file: File,
    bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

/// A zstd file is any number of frames; its decoder knows one.
struct ZstdFrames<R> {
    source: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    /// Goes to the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(false);
        }
        match self.decoder.init(&mut self.source) {
            Ok(()) => self.is_within = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let skipped = io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                if skipped < u64::from(length) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(true)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.is_within = false;
        let expected = self.decoder.get_checksum_from_data();
        if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("the checksum does not fit"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within {
                if !self.next_frame()? {
                    return Ok(0);
                }
            } else if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            } else if self.decoder.is_finished() {
                self.end_frame()?;
            } else {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
            }
        }
    }
}
