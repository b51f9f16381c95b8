use cloze_kernels::Kernels;
use cloze_tokenizer::Encoding;

use crate::Error;
use crate::checkpoint;
use crate::model::{Keep, Tape, encoder_forward};

use super::workspace::pack;
use super::{Extent, Model, ReadOptions, ReadText, Text, batches, read_texts};

/// How the vectors of a text's tokens become the text's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// They do not: one vector a token.
    None,
    /// The first token's.
    Cls,
    /// The mean of all, `[CLS]` and `[SEP]` included.
    Mean,
    /// The largest of all in each column.
    Max,
    /// The pooler's output, which next sentence prediction has trained.
    Pooler,
}

/// How to embed; what is `None` is as the model's files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedOptions {
    /// By default as in the model's files, else the mean.
    pub pooling: Option<Pooling>,
    /// Which hidden state: 0 is the embeddings' output, by default the last layer's.
    pub layer: Option<usize>,
    /// Whether to scale the vectors to length 1.
    pub normalize: Option<bool>,
    /// How texts are read; by default up to the length that the files of an embedding model say.
    pub read: ReadOptions,
}

/// The vectors of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// One vector, or with [`Pooling::None`] one for each token: `[hidden]` each.
    pub vectors: Vec<Vec<f32>>,
    /// How much of the text was read.
    pub extent: Extent,
}

impl Model {
    /// Vectors of texts. That of a text in windows is the mean of the windows' ([`Pooling::Max`]: the largest of
    /// each column); a token's is that of the window in which it has the most context.
    pub fn embed(&self, texts: &[Text], options: EmbedOptions) -> Result<Vec<Embedding>, Error> {
        let layers = self.config.num_hidden_layers;
        let sentence = self.sentence.as_ref();
        let pooling = options.pooling.unwrap_or(match sentence.map(|settings| settings.pooling) {
            Some(checkpoint::Pooling::Cls) => Pooling::Cls,
            Some(checkpoint::Pooling::Max) => Pooling::Max,
            Some(checkpoint::Pooling::Mean) | None => Pooling::Mean,
        });
        let normalize = options.normalize.unwrap_or(sentence.is_some_and(|settings| settings.normalize));
        let default_length = sentence.and_then(|settings| settings.max_length).unwrap_or(self.max_length());
        let default_length = default_length.min(self.config.max_position_embeddings);
        let reading = self.reading_up_to(options.read, default_length)?;
        let layer = options.layer.unwrap_or(layers);
        if layer > layers {
            return Err(Error::Settings(format!(
                "layer {layer}: the model has the hidden states 0 (embeddings) to {layers} (last layer)"
            )));
        }
        if pooling == Pooling::Pooler {
            self.needs(self.declaration.heads.pooler, "pooler; choose another pooling")?;
            if layer != layers {
                return Err(Error::Settings("the pooler reads the last layer only; leave out the layer".to_string()));
            }
        }
        let read = read_texts(&self.tokenizer, texts, reading);
        if pooling == Pooling::None
            && let Some(at) = (0..texts.len()).find(|&at| texts[at].b.is_some() && read[at].windows.len() > 1)
        {
            return Err(Error::Settings(format!(
                "the pair {at} is longer than {} tokens: its windows have no vector for each token; choose a pooling",
                reading.max_length
            )));
        }
        let windows: Vec<Encoding> = read.iter().flat_map(|text| text.windows.iter().cloned()).collect();
        let mut of_windows = Vec::with_capacity(windows.len());
        for windows in batches(&windows) {
            of_windows.extend(self.pooled_vectors(windows, pooling, layer)?);
        }
        let mut of_windows = of_windows.into_iter();
        let embedding = |text: &ReadText| {
            let own: Vec<Vec<Vec<f32>>> = of_windows.by_ref().take(text.windows.len()).collect();
            let mut vectors = join_windows(own, pooling, reading.overlap());
            if normalize {
                vectors.iter_mut().for_each(|vector| scale_to_one(vector));
            }
            Embedding { vectors, extent: text.extent() }
        };
        Ok(read.iter().map(embedding).collect())
    }

    /// The vectors of one batch's texts.
    fn pooled_vectors(
        &self,
        encodings: &[Encoding],
        pooling: Pooling,
        layer: usize,
    ) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        let (hidden, layers) = (self.config.hidden_size, self.config.num_hidden_layers);
        let batch = pack(encodings);
        // One vector a sequence is computed for that row alone; otherwise all tokens' are.
        let (values, one_row) = self.with_workspace(|network, workspace| {
            let kernels = &network.kernels;
            let one_row = matches!(pooling, Pooling::Cls | Pooling::Pooler) && layer == layers;
            let rows = if one_row { batch.sequences() } else { batch.tokens() };
            let mut values = vec![0.0; rows * hidden];
            if pooling == Pooling::Pooler {
                workspace.pool(network, &batch)?;
                kernels.read_activations(&mut values, &workspace.pooler.pooled)?;
            } else if one_row {
                workspace.encode(network, &batch, crate::heads::first_rows(&batch))?;
                kernels.read_activations(&mut values, workspace.hidden(&network.config))?;
            } else if layer == layers {
                workspace.encode_all(network, &batch)?;
                kernels.read_activations(&mut values, workspace.hidden(&network.config))?;
            } else {
                batch.check(&network.config)?;
                let mut tape = Tape::new(kernels, &network.config, Keep::HiddenStates)?;
                workspace.packed.write(kernels, &batch, 0)?;
                let packed = &workspace.packed;
                kernels.scope(|| encoder_forward(network, &mut tape, packed, None, None))?;
                kernels.read_activations(&mut values, &tape.hidden[layer])?;
            }
            Ok((values, one_row))
        })?;
        let row = |index: usize| values[index * hidden..(index + 1) * hidden].to_vec();
        Ok((0..batch.sequences())
            .map(|sequence| {
                let rows = batch.rows(sequence);
                match pooling {
                    _ if one_row => vec![row(sequence)],
                    Pooling::None => rows.map(row).collect(),
                    Pooling::Cls | Pooling::Pooler => vec![row(rows.start)],
                    Pooling::Mean => vec![mean(&values[rows.start * hidden..rows.end * hidden], hidden)],
                    Pooling::Max => vec![largest(&values[rows.start * hidden..rows.end * hidden], hidden)],
                }
            })
            .collect())
    }
}

/// The vectors of a text from those of its windows, which share `overlap` tokens with the one before.
fn join_windows(mut windows: Vec<Vec<Vec<f32>>>, pooling: Pooling, overlap: usize) -> Vec<Vec<f32>> {
    if windows.len() == 1 {
        return windows.remove(0);
    }
    if pooling == Pooling::None {
        // Where two windows overlap, the first half is the earlier one's: there it has more context.
        let last = windows.len() - 1;
        let own = |(at, window): (usize, Vec<Vec<f32>>)| {
            let first = if at == 0 { 0 } else { 1 + overlap - overlap / 2 };
            let end = if at == last { window.len() } else { window.len() - 1 - overlap / 2 };
            window.into_iter().take(end).skip(first)
        };
        return windows.into_iter().enumerate().flat_map(own).collect();
    }
    let columns = windows[0][0].len();
    let rows: Vec<f32> = windows.into_iter().flatten().flatten().collect();
    vec![if pooling == Pooling::Max { largest(&rows, columns) } else { mean(&rows, columns) }]
}

/// The mean of the rows `[rows, columns]`.
fn mean(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; columns];
    for row in values.chunks(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let rows = (values.len() / columns) as f64;
    sums.into_iter().map(|sum| (sum / rows) as f32).collect()
}

/// The largest value of each column of the rows `[rows, columns]`.
fn largest(values: &[f32], columns: usize) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; columns];
    for row in values.chunks(columns) {
        largest.iter_mut().zip(row).for_each(|(largest, &value)| *largest = largest.max(value));
    }
    largest
}

fn scale_to_one(vector: &mut [f32]) {
    let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_has_one_vector_in_order() {
        // Tokens 0 to 9 in windows of 6, of which 3 are shared, with [CLS] and [SEP]: 0-5, 3-8, 6-9.
        let window = |tokens: std::ops::Range<u8>| -> Vec<Vec<f32>> {
            let special = |value: f32| std::iter::once(vec![value]);
            special(-1.0).chain(tokens.map(|token| vec![f32::from(token)])).chain(special(-2.0)).collect()
        };
        let joined = join_windows(vec![window(0..6), window(3..9), window(6..10)], Pooling::None, 3);
        let expected: Vec<f32> = std::iter::once(-1.0).chain((0..10).map(|x| x as f32)).chain([-2.0]).collect();
        assert_eq!(joined.concat(), expected);
        assert_eq!(join_windows(vec![vec![vec![1.0, 5.0]], vec![vec![3.0, 4.0]]], Pooling::Max, 3), [[3.0, 5.0]]);
        assert_eq!(join_windows(vec![vec![vec![1.0, 5.0]], vec![vec![3.0, 4.0]]], Pooling::Cls, 3), [[2.0, 4.5]]);
    }
}
