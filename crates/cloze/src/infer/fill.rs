use cloze_kernels::{Cpu, Kernels};
use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::heads::{ROWS_AT_A_TIME, mlm_logits};
use crate::model::{Batch, Network};

use super::classify::softmax;
use super::finite::all_finite;
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
        let logits =
            self.with_workspace(|network, workspace| masked_logits(network, workspace, &pack(&encodings), &rows))?;
        let filled = rows.iter().zip(&logits).map(|(&row, logits)| FilledMask {
            position: row as usize,
            candidates: best_tokens(&self.tokenizer, logits, top_k),
        });
        Ok(filled.collect())
    }
}

/// The logits over the vocabulary, `[rows][vocab]`, at some rows of a batch, in ascending order.
pub(crate) fn masked_logits(
    network: &Network<Cpu>,
    workspace: &mut InferenceWorkspace,
    batch: &Batch,
    rows: &[u32],
) -> Result<Vec<Vec<f32>>, Error> {
    let vocab = network.config.vocab_size;
    workspace.encode(network, batch, rows)?;
    let mut all = Vec::with_capacity(rows.len());
    let places: Vec<u32> = (0..rows.len() as u32).collect();
    for places in places.chunks(ROWS_AT_A_TIME) {
        let InferenceWorkspace { tape, mlm, .. } = &mut *workspace;
        let hidden = &tape.hidden[tape.hidden_index(network.config.num_hidden_layers)];
        mlm_logits(network, mlm, hidden, places)?;
        let mut logits = vec![0.0; places.len() * vocab];
        network.kernels.read_activations(&mut logits, mlm.logits())?;
        all_finite(network, batch, "the masked language model head", &logits)?;
        all.extend(logits.chunks(vocab).map(<[f32]>::to_vec));
    }
    Ok(all)
}

/// The `top_k` best tokens; of equal ones the one with the smaller id. Rows of the word embeddings that no token has (a
/// vocabulary padded to a round number) are not offered.
pub(crate) fn best_tokens(tokenizer: &Tokenizer, logits: &[f32], top_k: usize) -> Vec<Candidate> {
    let probabilities = softmax(logits);
    let mut ids: Vec<usize> = (0..tokenizer.vocab_size().min(logits.len())).collect();
    ids.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    let candidate = |id: usize| {
        let token = tokenizer.token(id as u32)?.to_string();
        Some(Candidate { token, id: id as u32, score: probabilities[id] })
    };
    ids.into_iter().filter_map(candidate).take(top_k).collect()
}
