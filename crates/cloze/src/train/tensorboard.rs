//! Curves for TensorBoard: files of events, in which each event is a message of protocol buffers in a TFRecord frame.
//!
//! Of the message `Event` these fields are written: 1 `wall_time`, 2 `step`, 3 `file_version`, 5 `summary`,
//! 7 `session_log`. A summary holds in its field 1 a value, whose fields are 1 `tag` and 2 `simple_value`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::data::tfrecord::write_record;
use crate::error::at;
use crate::protobuf::{bytes, double, float, integer};

/// How the names of event files begin. The seconds since 1970, the machine's name and a suffix follow, with dots in
/// between.
const PREFIX: &str = "events.out.tfevents.";
/// How the names of Cloze's end.
const SUFFIX: &str = ".cloze";

/// Appends scalars to a file of events in the folder of a run.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Begins a new file in `folder`, which is made if it is not there.
    ///
    /// Of what earlier files in the folder say, TensorBoard then drops all that comes after `resumed_at` steps, because
    /// these steps are done again; without `resumed_at` it drops everything. (Its data server does so tag by tag, when
    /// the first new value of a tag arrives.)
    ///
    /// # Errors
    ///
    /// What the system says about the folder or the file.
    pub fn open(folder: &Path, resumed_at: Option<u64>) -> Result<EventWriter, Error> {
        fs::create_dir_all(folder).map_err(at("create", folder))?;
        let path = folder.join(format!("{PREFIX}{:010}.{}{SUFFIX}", next_second(folder)?, host_name()));
        let file = BufWriter::new(File::create_new(&path).map_err(at("create", &path))?);
        let mut writer = EventWriter { path, file };
        writer.write(&version_event(wall_time()))?;
        // What was noted after `resumed_at` steps stays.
        writer.write(&start_event(wall_time(), resumed_at.map_or(0, |steps| steps + 1)))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Notes a value after `step` steps. Tags with a slash, as in `train/loss`, are shown in groups.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), Error> {
        self.write(&scalar_event(wall_time(), tag, step, value))
    }

    /// Hands everything noted so far to the system, so that TensorBoard sees it and a killed program does not lose it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(at("write to", &self.path))
    }

    fn write(&mut self, event: &[u8]) -> Result<(), Error> {
        write_record(&mut self.file, event).map_err(at("write to", &self.path))
    }
}

/// Whether a file of this name is an event file that Cloze has written.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// The second of a new file's name: now, or the second after the last file's. TensorBoard reads files in the order of
/// their names, so a later file must not have an earlier one's, whatever the clock says.
fn next_second(folder: &Path) -> Result<u64, Error> {
    let mut second = wall_time() as u64;
    for entry in fs::read_dir(folder).map_err(at("read", folder))? {
        let name = entry.map_err(at("read", folder))?.file_name();
        let name = name.to_string_lossy();
        let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
        if let Some(taken) = digits.and_then(|digits| digits.parse::<u64>().ok()) {
            second = second.max(taken.saturating_add(1));
        }
    }
    Ok(second)
}

/// The machine's name, as far as the system tells it in a file.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    if name.is_empty() { "localhost".to_string() } else { name }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The first event of a file.
fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    double(&mut event, 1, wall_time);
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// Says that writing starts anew, with events that take the place of earlier ones from `step` on. TensorBoard takes the first
/// such event for the beginning of a run and drops nothing, so every file has one.
fn start_event(wall_time: f64, step: u64) -> Vec<u8> {
    let (mut start, mut event) = (Vec::new(), Vec::new());
    integer(&mut start, 1, 1);
    double(&mut event, 1, wall_time);
    integer(&mut event, 2, step);
    bytes(&mut event, 7, &start);
    event
}

fn scalar_event(wall_time: f64, tag: &str, step: u64, number: f64) -> Vec<u8> {
    let (mut value, mut summary, mut event) = (Vec::new(), Vec::new(), Vec::new());
    bytes(&mut value, 1, tag.as_bytes());
    float(&mut value, 2, number as f32);
    bytes(&mut summary, 1, &value);
    double(&mut event, 1, wall_time);
    integer(&mut event, 2, step);
    bytes(&mut event, 5, &summary);
    event
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::data::tfrecord::read_record;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The names of the event files in a folder in order, and the events of each without their wall times.
    fn files(folder: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let events = |name: &String| {
            let path = folder.join(name);
            let mut file = File::open(&path).unwrap();
            let (mut record, mut offset, mut events) = (Vec::new(), 0, Vec::new());
            while read_record(&mut record, &mut file, &mut offset, &path).unwrap() {
                assert_eq!(record[0], 0x09);
                let seconds = f64::from_le_bytes(record[1..9].try_into().unwrap());
                assert!((wall_time() - seconds).abs() < 60.0, "an event at second {seconds}");
                events.push(record[9..].to_vec());
            }
            events
        };
        names.into_iter().map(|name| (name.clone(), events(&name))).collect()
    }

    /// What TensorBoard 2.21.0 makes of the same: with `Event` of `tensorboard.compat.proto.event_pb2`,
    /// `Event(wall_time=1.7e9 + 0.25, step=300, summary={"value": [{"tag": "train/loss", "simple_value": 0.7}]})`,
    /// and so on; `event.SerializeToString(deterministic=True).hex()`.
    #[test]
    fn messages_are_those_of_protocol_buffers() {
        let time = 1.7e9 + 0.25;
        assert_eq!(hex(&version_event(time)), "0900001040fc54d9411a0d627261696e2e4576656e743a32");
        // session_log={"status": 1}, step=128
        assert_eq!(hex(&start_event(time, 128)), "0900001040fc54d9411080013a020801");
        assert_eq!(
            hex(&scalar_event(time, "train/loss", 300, 0.7)),
            "0900001040fc54d94110ac022a130a110a0a747261696e2f6c6f7373153333333f"
        );
        // A tag of 130 letters, so that lengths take two bytes; step=2**40; simple_value=float("nan")
        let event = scalar_event(time, &"é".repeat(65), 1 << 40, f64::NAN);
        assert_eq!(
            hex(&event),
            "0900001040fc54d941108080808080202a8d010a8a010a8201".to_string() + &"c3a9".repeat(65) + "150000c07f"
        );
    }

    #[test]
    fn a_run_that_goes_on_begins_a_file_that_is_read_later() {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().join("new/runs");
        let mut first = EventWriter::open(&folder, None).unwrap();
        first.scalar("train/loss", 1, 0.5).unwrap();
        first.scalar("eval/f1", 7, 0.25).unwrap();
        first.flush().unwrap();
        // In the same second, while the first is still open; and a third after a clock that went back.
        EventWriter::open(&folder, Some(4)).unwrap().scalar("train/loss", 5, 0.25).unwrap();
        fs::write(folder.join("events.out.tfevents.9000000000.other.v2"), []).unwrap();
        EventWriter::open(&folder, Some(9)).unwrap();

        let files = files(&folder);
        let events = |events: &[Vec<u8>]| -> Vec<Vec<u8>> { events.iter().map(|event| event[9..].to_vec()).collect() };
        let losses = scalar_event(0.0, "train/loss", 1, 0.5);
        let scores = scalar_event(0.0, "eval/f1", 7, 0.25);
        let expected = [version_event(0.0), start_event(0.0, 0), losses, scores];
        assert_eq!(files[0].1, events(&expected));
        let expected = [version_event(0.0), start_event(0.0, 5), scalar_event(0.0, "train/loss", 5, 0.25)];
        assert_eq!(files[1].1, events(&expected));
        assert_eq!(files[2].0, "events.out.tfevents.9000000000.other.v2");
        assert!(files[3].0.starts_with("events.out.tfevents.9000000001."), "{}", files[3].0);
        assert!(files[3].0.ends_with(".cloze"), "{}", files[3].0);
        assert_eq!(files[3].1, events(&[version_event(0.0), start_event(0.0, 10)]));
    }

    #[test]
    fn a_folder_that_is_a_file_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("runs");
        fs::write(&path, "").unwrap();
        let message = EventWriter::open(&path, None).unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot create {}: ", path.display())), "{message}");
    }
}
