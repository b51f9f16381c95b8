//! Packed batches: no padding, ever.

use cloze_kernels::{AttentionStarts, Kernels, RowCoordinates};

use crate::{Config, Error};

/// Sequences of token ids, one after the other, and where each begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[tokens]`
    pub ids: Vec<u32>,
    /// `[tokens]`, 0 for the first segment and 1 for the second
    pub token_type_ids: Vec<u32>,
    /// First token of each sequence, then the number of tokens: `[sequences + 1]`
    pub starts: Vec<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch { ids: Vec::new(), token_type_ids: Vec::new(), starts: vec![0] }
    }
}

impl Batch {
    /// Appends a sequence.
    pub fn push(&mut self, ids: &[u32], token_type_ids: &[u32]) {
        assert_eq!(ids.len(), token_type_ids.len());
        self.ids.extend_from_slice(ids);
        self.token_type_ids.extend_from_slice(token_type_ids);
        self.starts.push(self.ids.len() as u32);
    }

    /// Packs a padded batch, as other programs make them: the columns of each row `[batch, length]`
    /// where `attention_mask` is 0 are left out.
    pub fn from_padded(ids: &[u32], token_type_ids: &[u32], attention_mask: &[u32], length: usize) -> Batch {
        assert!(length > 0 && ids.len().is_multiple_of(length), "{} ids in rows of {length}", ids.len());
        assert!(token_type_ids.len() == ids.len() && attention_mask.len() == ids.len());
        let mut batch = Batch::default();
        for row in 0..ids.len() / length {
            let kept = (row * length..(row + 1) * length).filter(|&at| attention_mask[at] != 0);
            let (row_ids, row_types): (Vec<u32>, Vec<u32>) = kept.map(|at| (ids[at], token_type_ids[at])).unzip();
            batch.push(&row_ids, &row_types);
        }
        batch
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The tokens of one sequence, as a range of rows.
    pub fn rows(&self, sequence: usize) -> std::ops::Range<usize> {
        self.starts[sequence] as usize..self.starts[sequence + 1] as usize
    }

    /// The sequences in `range`, as a batch of their own.
    pub fn part(&self, range: std::ops::Range<usize>) -> Batch {
        let mut part = Batch::default();
        for sequence in range {
            let rows = self.rows(sequence);
            part.push(&self.ids[rows.clone()], &self.token_type_ids[rows]);
        }
        part
    }

    /// Whether a model of this configuration can read the batch: ids within the vocabulary, lengths
    /// within the position table, no empty sequence.
    pub fn check(&self, config: &Config) -> Result<(), Error> {
        for sequence in 0..self.sequences() {
            let rows = self.rows(sequence);
            if rows.is_empty() || rows.len() > config.max_position_embeddings {
                return Err(Error::Settings(format!(
                    "sequence {sequence} has {} tokens; the model reads 1 to {} (max_position_embeddings)",
                    rows.len(),
                    config.max_position_embeddings
                )));
            }
            if let Some(id) = self.ids[rows.clone()].iter().find(|&&id| id as usize >= config.vocab_size) {
                return Err(Error::Settings(format!(
                    "token id {id} of sequence {sequence} is beyond the model's vocabulary of {} (vocab_size): \
                     does the tokenizer belong to this model?",
                    config.vocab_size
                )));
            }
            if let Some(id) = self.token_type_ids[rows].iter().find(|&&id| id as usize >= config.type_vocab_size) {
                return Err(Error::Settings(format!(
                    "token type {id} of sequence {sequence} is beyond the model's {} (type_vocab_size)",
                    config.type_vocab_size
                )));
            }
        }
        Ok(())
    }
}

/// A batch in a backend's buffers.
pub struct PackedBatch<K: Kernels> {
    /// Number of sequences.
    pub sequences: usize,
    /// Number of tokens.
    pub tokens: usize,
    /// `[tokens]`
    pub ids: K::Indices,
    /// `[tokens]`
    pub token_type_ids: K::Indices,
    /// `[sequences + 1]`
    pub starts: K::Indices,
    /// Where each token stands; the positions also choose the rows of the position table.
    pub coordinates: RowCoordinates<K::Indices>,
}

/// The tokens whose last hidden state somebody reads. The last layer computes these rows only.
pub struct ReadRows<K: Kernels> {
    /// Number of rows.
    pub count: usize,
    /// The rows of the batch, ascending: `[count]`
    pub rows: K::Indices,
    /// First of these rows of each sequence, then their number: `[sequences + 1]`
    pub starts: K::Indices,
    /// Where each of these rows stands.
    pub coordinates: RowCoordinates<K::Indices>,
}

impl<K: Kernels> PackedBatch<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Self {
        PackedBatch {
            sequences: 0,
            tokens: 0,
            ids: kernels.indices(),
            token_type_ids: kernels.indices(),
            starts: kernels.indices(),
            coordinates: RowCoordinates { sequences: kernels.indices(), positions: kernels.indices() },
        }
    }

    /// Replaces the contents. `first_sequence` is the place of the batch's first sequence in the whole
    /// batch that it is a part of.
    pub fn write(&mut self, kernels: &K, batch: &Batch, first_sequence: usize) -> Result<(), Error> {
        self.sequences = batch.sequences();
        self.tokens = batch.tokens();
        kernels.write_indices(&mut self.ids, &batch.ids)?;
        kernels.write_indices(&mut self.token_type_ids, &batch.token_type_ids)?;
        kernels.write_indices(&mut self.starts, &batch.starts)?;
        let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
        write_coordinates(kernels, &mut self.coordinates, batch, &rows, first_sequence)?;
        Ok(())
    }

    /// All rows, as attention's queries and keys.
    pub fn all_starts(&self) -> AttentionStarts<'_, K::Indices> {
        AttentionStarts { queries: &self.starts, keys: &self.starts }
    }
}

impl<K: Kernels> ReadRows<K> {
    /// Empty buffers.
    pub fn new(kernels: &K) -> Self {
        ReadRows {
            count: 0,
            rows: kernels.indices(),
            starts: kernels.indices(),
            coordinates: RowCoordinates { sequences: kernels.indices(), positions: kernels.indices() },
        }
    }

    /// Replaces the contents by `rows`, ascending rows of `batch`.
    pub fn write(&mut self, kernels: &K, batch: &Batch, rows: &[u32], first_sequence: usize) -> Result<(), Error> {
        assert!(rows.is_sorted_by(|a, b| a < b), "rows must ascend");
        self.count = rows.len();
        kernels.write_indices(&mut self.rows, rows)?;
        kernels.write_indices(&mut self.starts, &starts_within(rows, &batch.starts))?;
        write_coordinates(kernels, &mut self.coordinates, batch, rows, first_sequence)?;
        Ok(())
    }
}

/// Where the sequences that begin at `starts` begin among `rows`, ascending rows of the batch.
pub(crate) fn starts_within(rows: &[u32], starts: &[u32]) -> Vec<u32> {
    starts.iter().map(|&start| rows.partition_point(|&row| row < start) as u32).collect()
}

fn write_coordinates<K: Kernels>(
    kernels: &K,
    coordinates: &mut RowCoordinates<K::Indices>,
    batch: &Batch,
    rows: &[u32],
    first_sequence: usize,
) -> Result<(), Error> {
    let sequence_of = |row: u32| batch.starts.partition_point(|&start| start <= row) - 1;
    let sequences: Vec<u32> = rows.iter().map(|&row| (first_sequence + sequence_of(row)) as u32).collect();
    let positions: Vec<u32> = rows.iter().map(|&row| row - batch.starts[sequence_of(row)]).collect();
    kernels.write_indices(&mut coordinates.sequences, &sequences)?;
    kernels.write_indices(&mut coordinates.positions, &positions)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_batch_is_packed() {
        let batch = Batch::from_padded(&[5, 6, 0, 7, 8, 9], &[0, 1, 0, 0, 0, 1], &[1, 1, 0, 1, 1, 1], 3);
        assert_eq!(batch.ids, [5, 6, 7, 8, 9]);
        assert_eq!(batch.token_type_ids, [0, 1, 0, 0, 1]);
        assert_eq!(batch.starts, [0, 2, 5]);
        assert_eq!(batch.part(1..2).ids, [7, 8, 9]);
    }

    #[test]
    fn what_the_model_cannot_read_is_refused() {
        let config = Config::tiny();
        let mut batch = Batch::default();
        batch.push(&[30522], &[0]);
        assert!(batch.check(&config).unwrap_err().to_string().contains("30522"));
        let mut batch = Batch::default();
        batch.push(&[1; 513], &[0; 513]);
        assert!(batch.check(&config).unwrap_err().to_string().contains("513 tokens"));
        let mut batch = Batch::default();
        batch.push(&[1], &[2]);
        assert!(batch.check(&config).unwrap_err().to_string().contains("token type 2"));
    }
}
