//! The values of a parameter, handed over in pieces of whole rows, so that a model can be packed from files
//! without ever standing in memory twice.

use super::Checkpoint;
use super::names::{TIED, scale_name};
use super::tensors::TensorFile;
use crate::error::Error;
use crate::params::{Declaration, Parameter};

/// Elements of a piece: 1 MiB in f32, which stays in a core's cache until it is packed.
const PIECE: usize = 1 << 18;
/// The rows of a piece are a multiple of this, which the widths of all packed panels divide: no panel is
/// packed in two halves.
const ROWS_MULTIPLE: usize = 96;

/// Some rows of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rows<'a> {
    /// `[rows, columns]`
    Numbers(&'a [f32]),
    /// Row `r` is `values[r] · scales[r]`.
    Quantized {
        /// `[rows, columns]`, each from -127 to 127
        values: &'a [i8],
        /// `[rows]`, finite and not negative
        scales: &'a [f32],
    },
}

/// Takes some rows, and the number of the first.
pub(crate) type TakeRows<'a> = dyn FnMut(usize, Rows) -> Result<(), Error> + 'a;

impl<'a> Rows<'a> {
    /// The rows of a parameter that is never quantized.
    pub fn numbers(self) -> &'a [f32] {
        match self {
            Rows::Numbers(numbers) => numbers,
            Rows::Quantized { .. } => unreachable!("only weights of the encoder are quantized"),
        }
    }
}

impl Checkpoint {
    /// Hands over a parameter's values from first to last, each time some whole rows of its shape and the
    /// number of the first. A parameter that the directory lacks has none.
    ///
    /// # Errors
    /// If the file cannot be read, a number in it is not finite, or not what quantizing gives.
    pub(crate) fn for_each_piece(&self, parameter: &Parameter, take: &mut TakeRows) -> Result<(), Error> {
        let Some((file, stored)) = self.find(parameter) else { return Ok(()) };
        let columns = parameter.columns().max(1);
        let chunk = rows_at_a_time(columns) * columns;
        if self.is_quantized() && parameter.is_encoder_weight() {
            self.check_quantized(parameter, file, stored)?;
            let all_scales = self.scales(parameter)?;
            return file.integers(stored)?.for_each_chunk(chunk, |first, values| {
                check_values(file, stored, first, values)?;
                let (row, rows) = (first / columns, values.len() / columns);
                take(row, Rows::Quantized { values, scales: &all_scales[row..row + rows] })
            });
        }
        file.check_shape(stored, &parameter.shape)?;
        file.numbers(stored)?.for_each_chunk(chunk, |first, values| {
            check_finite(file, stored, first, values)?;
            take(first / columns, Rows::Numbers(values))
        })
    }

    /// The scales of a quantized weight, one for each of its rows.
    fn scales(&self, parameter: &Parameter) -> Result<Vec<f32>, Error> {
        let (file, stored) = self.index.find(&scale_name(parameter)).expect("they are checked to be there");
        let scales = file.numbers(stored)?.all()?;
        check_finite(file, stored, 0, &scales)?;
        match scales.iter().position(|&scale| scale < 0.0) {
            None => Ok(scales),
            Some(element) => Err(file.error(
                stored,
                format!("element {element} is {}, but no scale is negative: the file is damaged", scales[element]),
            )),
        }
    }

    /// The decoder of the masked language model is the word embeddings again. A directory that stores
    /// another one is not this model.
    pub(super) fn check_tied(&self, declaration: &Declaration) -> Result<(), Error> {
        if declaration.layout.mlm.is_none() {
            return Ok(());
        }
        for (tied, source) in TIED {
            let (Some((file, stored)), Some((source_file, source_stored))) =
                (self.index.find(tied), self.index.find(source))
            else {
                continue;
            };
            file.check_shape(stored, source_file.shape(source_stored).unwrap_or_default())?;
            let same = source_file.numbers(source_stored)?;
            let mut expected = Vec::new();
            file.numbers(stored)?.for_each_chunk(PIECE, |first, values| {
                expected.resize(values.len(), 0.0);
                same.read(first, &mut expected)?;
                match values.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits()) {
                    None => Ok(()),
                    Some(element) => Err(file.error(
                        stored,
                        format!(
                            "differs from `{source}` at element {}; models whose decoder is not tied to the embeddings cannot be read",
                            first + element
                        ),
                    )),
                }
            })?;
        }
        Ok(())
    }
}

/// How many rows make a piece.
fn rows_at_a_time(columns: usize) -> usize {
    (PIECE / columns / ROWS_MULTIPLE * ROWS_MULTIPLE).max(ROWS_MULTIPLE)
}

/// An error that names the first number that is not finite; `first` is the place of `values` in the tensor.
fn check_finite(file: &TensorFile, stored: &str, first: usize, values: &[f32]) -> Result<(), Error> {
    // All ones in the exponent: infinite, or no number. Without an early exit this compiles to vector
    // instructions.
    const EXPONENT: u32 = 0x7f80_0000;
    let is_special = |value: &f32| value.to_bits() & EXPONENT == EXPONENT;
    if !values.iter().fold(false, |any, value| any | is_special(value)) {
        return Ok(());
    }
    let element = values.iter().position(is_special).expect("there is one");
    let message = format!(
        "element {} is {}: the file is damaged, or the run that wrote it had failed",
        first + element,
        values[element]
    );
    Err(file.error(stored, message))
}

/// An error that names the first value that quantizing never gives; `first` is the place of `values` in the
/// tensor.
fn check_values(file: &TensorFile, stored: &str, first: usize, values: &[i8]) -> Result<(), Error> {
    if !values.iter().fold(false, |any, &value| any | (value == i8::MIN)) {
        return Ok(());
    }
    let element = first + values.iter().position(|&value| value == i8::MIN).expect("there is one");
    let message = format!("element {element} is -128, but values go from -127 to 127: the file is damaged");
    Err(file.error(stored, message))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::checkpoint::save;
    use crate::checkpoint::tests::{expect_error, small_config, weights};
    use crate::config::Config;
    use crate::params::HeadSet;

    #[test]
    fn pieces_have_whole_panels() {
        assert_eq!(rows_at_a_time(768), 288);
        assert_eq!(rows_at_a_time(3072), 96);
        assert_eq!(rows_at_a_time(1 << 16), 96);
        for columns in 1..5000 {
            assert_eq!(rows_at_a_time(columns) % ROWS_MULTIPLE, 0);
        }
    }

    const HEADS: HeadSet = HeadSet { pooler: false, mlm: true, nsp: false, task: None };

    /// A directory whose word embeddings are three pieces, the last one not full.
    fn directory() -> (TempDir, Declaration, Vec<f32>) {
        let config = Config { vocab_size: 5000, hidden_size: 126, ..small_config() };
        let declaration = Declaration::new(&config, HEADS);
        let weights = weights(&declaration);
        let dir = TempDir::new().unwrap();
        save(dir.path(), &config, &declaration, &weights).unwrap();
        (dir, declaration, weights)
    }

    /// Changes one byte of the word embeddings, which come first in the file.
    fn change(path: &Path, element: usize, byte: usize, to: u8) {
        let mut bytes = fs::read(path).unwrap();
        let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[start + 4 * element + byte] = to;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_tensor_of_several_pieces_is_handed_over_once_from_first_to_last() {
        let (dir, declaration, weights) = directory();
        let words = &declaration.parameters[0];
        let mut pieces = Vec::new();
        let mut values = Vec::new();
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        checkpoint
            .for_each_piece(words, &mut |row, rows| {
                let rows = rows.numbers();
                pieces.push((row, rows.len() / 126));
                values.extend_from_slice(rows);
                Ok(())
            })
            .unwrap();
        assert_eq!(pieces, [(0, 2016), (2016, 2016), (4032, 968)]);
        assert!(values == weights[..words.span.len]);
        let missing = Parameter { name: "bert.other".into(), ..words.clone() };
        checkpoint.for_each_piece(&missing, &mut |_, _| unreachable!("it is not there")).unwrap();
    }

    #[test]
    fn a_number_that_is_not_finite_is_named_in_any_piece() {
        for element in [0, 2016 * 126 - 1, 2016 * 126, 5000 * 126 - 1] {
            let (dir, declaration, mut weights) = directory();
            let path = dir.path().join("model.safetensors");
            change(&path, element, 2, 0x80);
            change(&path, element, 3, 0xff);
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            let element = format!("element {element} is");
            expect_error(checkpoint.read(&declaration, &mut weights), &["word_embeddings", &element, "damaged"]);
        }
    }
}
