use cloze_kernels::Kernels;

use crate::Error;
use crate::heads::{ROWS_AT_A_TIME, mlm_logits};

use super::classify::softmax;
use super::workspace::{InferenceWorkspace, pack};
use super::{Model, Text};

/// What could stand at a `[MASK]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledMask {
    /// The token's index, `[CLS]` being 0.
    pub position: usize,
    /// The most probable tokens, best first.
    pub candidates: Vec<Candidate>,
}

/// A token and its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// As in the vocabulary.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its probability.
    pub score: f64,
}

impl Model {
    /// The `top_k` most probable tokens for each `[MASK]` of a text or pair.
    ///
    /// # Errors
    /// If the text has no mask, or one is lost because the text is too long.
    pub fn fill(&self, text: Text, top_k: usize) -> Result<Vec<FilledMask>, Error> {
        self.needs(self.declaration.heads.mlm, "masked language model head")?;
        let max_length = self.checked_length(None, self.max_length())?;
        let encodings = self.encode(&[text], max_length);
        let encoding = &encodings[0];
        if encoding.truncated > 0 {
            return Err(Error::Settings(format!(
                "the text has {} tokens more than the {max_length} that the model reads; shorten it around the masks",
                encoding.truncated
            )));
        }
        let mask = self.tokenizer.special().mask;
        let rows: Vec<u32> = (0..encoding.len() as u32).filter(|&row| encoding.ids[row as usize] == mask).collect();
        if rows.is_empty() {
            return Err(Error::Settings("the text has no [MASK] to fill".to_string()));
        }
        let vocab = self.config.vocab_size;
        self.with_workspace(|network, workspace| {
            workspace.encode(network, &pack(&encodings), &rows)?;
            let mut filled = Vec::with_capacity(rows.len());
            for (chunk, rows) in rows.chunks(ROWS_AT_A_TIME).enumerate() {
                let places: Vec<u32> =
                    (0..rows.len() as u32).map(|place| (chunk * ROWS_AT_A_TIME) as u32 + place).collect();
                let InferenceWorkspace { tape, mlm, .. } = &mut *workspace;
                let hidden = &tape.hidden[tape.hidden_index(network.config.num_hidden_layers)];
                mlm_logits(network, mlm, hidden, &places)?;
                let mut logits = vec![0.0; rows.len() * vocab];
                network.kernels.read_activations(&mut logits, mlm.logits())?;
                for (&row, logits) in rows.iter().zip(logits.chunks(vocab)) {
                    filled.push(FilledMask { position: row as usize, candidates: self.best(logits, top_k) });
                }
            }
            Ok(filled)
        })
    }

    /// The `top_k` best tokens; of equal ones the one with the smaller id. Rows of the word embeddings
    /// that no token has (a vocabulary padded to a round number) are not offered.
    fn best(&self, logits: &[f32], top_k: usize) -> Vec<Candidate> {
        let probabilities = softmax(logits);
        let mut ids: Vec<usize> = (0..self.tokenizer.vocab_size().min(logits.len())).collect();
        ids.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
        let candidate = |id: usize| {
            let token = self.tokenizer.token(id as u32)?.to_string();
            Some(Candidate { token, id: id as u32, score: probabilities[id] })
        };
        ids.into_iter().filter_map(candidate).take(top_k).collect()
    }
}
