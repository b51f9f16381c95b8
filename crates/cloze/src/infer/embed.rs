use cloze_kernels::Kernels;
use cloze_tokenizer::Encoding;

use crate::Error;
use crate::model::{Keep, Tape, encoder_forward};

use super::dense::PackedModule;
use super::finite::{all_finite, name};
use super::pooling::{Pooling, largest, mean};
use super::workspace::pack;
use super::{Extent, Model, ReadOptions, ReadText, Text, batches, read_texts};

/// How to embed; what is `None` is as the model's files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedOptions<'a> {
    /// By default as in the model's files, else the mean. The vectors of several stand side by side;
    /// [`Pooling::None`] and [`Pooling::Pooler`] go with no other.
    pub pooling: Option<&'a [Pooling]>,
    /// Prompt before each text, or before the first of a pair.
    pub prompt: Option<Prompt<'a>>,
    /// Which hidden state: 0 is the embeddings' output, by default the last layer's.
    pub layer: Option<usize>,
    /// Columns that are kept, the first ones.
    pub dimensions: Option<usize>,
    /// True if to scale the vectors to length 1, after all else.
    pub normalize: Option<bool>,
    /// How texts are read; by default up to the length that the files of an embedding model say.
    pub read: ReadOptions,
}

/// Prompt before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt<'a> {
    /// The prompt of this name in the model's files.
    Named(&'a str),
    /// This text; nothing if it is empty.
    Text(&'a str),
}

/// The vectors of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// One vector, or with [`Pooling::None`] one for each token: `[hidden]` each, unless the model's files or the
    /// options ask for another size.
    pub vectors: Vec<Vec<f32>>,
    /// How much of the text was read.
    pub extent: Extent,
}

/// How the vectors of one call are made.
struct Plan<'a> {
    pooling: Vec<Pooling>,
    layer: usize,
    prompt: &'a str,
    /// Tokens of the prompt, `[CLS]` included, that are not pooled.
    skipped: usize,
}

impl Plan<'_> {
    /// True if tokens keep their vectors.
    fn is_of_tokens(&self) -> bool {
        self.pooling == [Pooling::None]
    }
}

impl Model {
    /// Vectors of texts. That of a text in windows is the mean of the windows' ([`Pooling::Max`]: the largest of
    /// each column); a token's is that of the window in which it has the most context.
    ///
    /// The modules that the model's files name after pooling work on the vector of the text. Vectors of tokens are
    /// only scaled to length 1 where these files end with that.
    ///
    /// # Errors
    /// If the options ask for a pooling, layer, prompt or number of dimensions that the model does not have.
    pub fn embed(&self, texts: &[Text], options: EmbedOptions) -> Result<Vec<Embedding>, Error> {
        let files = self.sentence.as_ref();
        let default_length = files.and_then(|settings| settings.max_length).unwrap_or(self.max_length());
        let default_length = default_length.min(self.config.max_position_embeddings);
        let reading = self.reading_up_to(options.read, default_length)?;
        let plan = self.plan(&options, reading.max_length)?;
        let prompted: Vec<String> = match plan.prompt {
            "" => Vec::new(),
            prompt => texts.iter().map(|text| format!("{prompt}{}", text.a)).collect(),
        };
        let with_prompt: Vec<Text> = prompted.iter().zip(texts).map(|(a, text)| Text { a, b: text.b }).collect();
        let texts = if plan.prompt.is_empty() { texts } else { &with_prompt };
        let read = read_texts(&self.tokenizer, texts, reading);
        if plan.is_of_tokens()
            && let Some(at) = (0..texts.len()).find(|&at| texts[at].b.is_some() && read[at].windows.len() > 1)
        {
            return Err(Error::Settings(format!(
                "the pair {at} is longer than {} tokens: its windows have no vector for each token; choose a pooling",
                reading.max_length
            )));
        }
        if let Some(at) = read.iter().position(|text| text.windows[0].len() <= plan.skipped) {
            return Err(Error::Settings(format!(
                "text {at}: the prompt takes all of its {} tokens, so nothing is left to pool (include_prompt is false)",
                read[at].windows[0].len()
            )));
        }
        let windows: Vec<Encoding> = read.iter().flat_map(|text| text.windows.iter().cloned()).collect();
        // The prompt stands in the first window of a text.
        let skipped: Vec<usize> = read
            .iter()
            .flat_map(|text| (0..text.windows.len()).map(|window| if window == 0 { plan.skipped } else { 0 }))
            .collect();
        let mut of_windows = Vec::with_capacity(windows.len());
        for windows in batches(&windows) {
            let skipped = &skipped[of_windows.len()..][..windows.len()];
            of_windows.extend(self.pooled_vectors(windows, &plan, skipped)?);
        }
        let mut of_windows = of_windows.into_iter();
        let mut embeddings = Vec::with_capacity(texts.len());
        for text in &read {
            let own: Vec<Vec<Vec<f32>>> = of_windows.by_ref().take(text.windows.len()).collect();
            embeddings.push(join_windows(own, &plan.pooling, reading.overlap()));
        }
        self.finish(&mut embeddings, &plan, &options)?;
        let embedding = |(vectors, text): (Vec<Vec<f32>>, &ReadText)| Embedding { vectors, extent: text.extent() };
        Ok(embeddings.into_iter().zip(&read).map(embedding).collect())
    }

    /// The text that is put before every text by default, as the model's files say; empty if there is none.
    pub fn default_prompt(&self) -> &str {
        self.embedder().map_or("", |embedder| embedder.prompts.default_text())
    }

    /// Settles poolings, layer and prompt.
    fn plan<'a>(&'a self, options: &EmbedOptions<'a>, max_length: usize) -> Result<Plan<'a>, Error> {
        let layers = self.config.num_hidden_layers;
        let embedder = self.embedder();
        let pooling: Vec<Pooling> = match (options.pooling, embedder) {
            (Some(pooling), _) => pooling.to_vec(),
            (None, Some(embedder)) => embedder.pooling.iter().copied().map(Pooling::from).collect(),
            (None, None) => vec![Pooling::Mean],
        };
        let is_alone = |alone: Pooling| pooling.contains(&alone) && pooling.len() > 1;
        if pooling.is_empty() || is_alone(Pooling::None) || is_alone(Pooling::Pooler) {
            return Err(Error::Settings(format!(
                "the poolings {pooling:?}: one or more are needed, and None and Pooler go with no other"
            )));
        }
        let layer = options.layer.unwrap_or(layers);
        if layer > layers {
            return Err(Error::Settings(format!(
                "layer {layer}: the model has the hidden states 0 (embeddings) to {layers} (last layer)"
            )));
        }
        if pooling == [Pooling::Pooler] {
            self.needs(self.declaration.heads.pooler, "pooler; choose another pooling")?;
            if layer != layers {
                return Err(Error::Settings("the pooler reads the last layer only; leave out the layer".to_string()));
            }
        }
        let prompt = match options.prompt {
            None => self.default_prompt(),
            Some(Prompt::Text(text)) => text,
            Some(Prompt::Named(name)) => self.prompt(name)?,
        };
        let is_pooled = embedder.is_none_or(|embedder| embedder.include_prompt);
        let skipped = match is_pooled || prompt.is_empty() || pooling == [Pooling::None] {
            true => 0,
            // With [CLS], without [SEP].
            false => self.tokenizer.encode(prompt, Some(max_length)).len() - 1,
        };
        Ok(Plan { pooling, layer, prompt, skipped })
    }

    /// The prompt of a name.
    fn prompt(&self, name: &str) -> Result<&str, Error> {
        let prompts = self.embedder().map(|embedder| &embedder.prompts);
        prompts.and_then(|prompts| prompts.text(name)).ok_or_else(|| {
            let names: Vec<&str> =
                prompts.map_or(Vec::new(), |own| own.texts.iter().map(|(name, _)| &**name).collect());
            let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
            Error::Settings(format!("no prompt `{name}`; the model's files have {names}"))
        })
    }

    /// The vectors of one batch's texts; `skipped` tokens at the beginning of each do not count.
    fn pooled_vectors(
        &self,
        encodings: &[Encoding],
        plan: &Plan,
        skipped: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        let (hidden, layers) = (self.config.hidden_size, self.config.num_hidden_layers);
        let Plan { pooling, layer, .. } = plan;
        let batch = pack(encodings);
        // One vector a sequence is computed for that row alone; otherwise all tokens' are.
        let one = match pooling[..] {
            [one] if one.reads_one_token() && *layer == layers => Some(one),
            _ => None,
        };
        let values = self.with_workspace(|network, workspace| {
            let kernels = &network.kernels;
            let rows = if one.is_some() { batch.sequences() } else { batch.tokens() };
            let mut values = vec![0.0; rows * hidden];
            match one {
                Some(Pooling::Pooler) => {
                    workspace.pool(network, &batch)?;
                    kernels.read_activations(&mut values, &workspace.pooler.pooled)?;
                }
                Some(one) => {
                    let row = |sequence: usize| {
                        let rows = batch.rows(sequence);
                        (rows.start + one.token(rows.len(), skipped[sequence])) as u32
                    };
                    let rows: Vec<u32> = (0..batch.sequences()).map(row).collect();
                    workspace.encode(network, &batch, &rows)?;
                    kernels.read_activations(&mut values, workspace.hidden(&network.config))?;
                }
                None if *layer == layers => {
                    workspace.encode_all(network, &batch)?;
                    kernels.read_activations(&mut values, workspace.hidden(&network.config))?;
                }
                None => {
                    batch.check(&network.config)?;
                    let mut tape = Tape::new(kernels, &network.config, Keep::HiddenStates)?;
                    workspace.packed.write(kernels, &batch, 0)?;
                    let packed = &workspace.packed;
                    kernels.scope(|| encoder_forward(network, &mut tape, packed, None, None))?;
                    kernels.read_activations(&mut values, &tape.hidden[*layer])?;
                }
            }
            let is_pooled = one == Some(Pooling::Pooler);
            let place = if is_pooled { "the pooler".to_string() } else { name(*layer, layers) };
            all_finite(network, &batch, &place, &values)?;
            Ok(values)
        })?;
        let row = |index: usize| values[index * hidden..(index + 1) * hidden].to_vec();
        let vectors = |sequence: usize| {
            let rows = batch.rows(sequence);
            if one.is_some() {
                return vec![row(sequence)];
            }
            if plan.is_of_tokens() {
                return rows.map(row).collect();
            }
            let own = &values[rows.start * hidden..rows.end * hidden];
            vec![pooling.iter().flat_map(|pooling| pooling.pool(own, hidden, skipped[sequence])).collect()]
        };
        Ok((0..batch.sequences()).map(vectors).collect())
    }

    /// The modules after pooling, then fewer dimensions, then the length.
    fn finish(&self, embeddings: &mut [Vec<Vec<f32>>], plan: &Plan, options: &EmbedOptions) -> Result<(), Error> {
        let vectors = || embeddings.iter().flatten();
        let Some(mut columns) = vectors().next().map(Vec::len) else { return Ok(()) };
        let embedder = self.embedder();
        let mut values: Vec<f32> = vectors().flatten().copied().collect();
        let last = self.modules.len().saturating_sub(1);
        for (at, module) in self.modules.iter().enumerate() {
            match module {
                PackedModule::Dense(_) if plan.is_of_tokens() => {}
                PackedModule::Dense(dense) if dense.inputs == columns => {
                    values = dense.forward(&self.network.kernels, &values)?;
                    columns = dense.outputs;
                }
                PackedModule::Dense(dense) => {
                    return Err(Error::Settings(format!(
                        "the model's module Dense reads vectors of {} columns, and the pooling gives {columns}; leave \
                         the pooling to the model's files, or choose the vectors of tokens",
                        dense.inputs
                    )));
                }
                PackedModule::Normalize if at == last && options.normalize == Some(false) => {}
                PackedModule::Normalize if at < last && plan.is_of_tokens() => {}
                PackedModule::Normalize => values.chunks_mut(columns).for_each(scale_to_one),
            }
        }
        let of_files = embedder.filter(|_| !plan.is_of_tokens()).and_then(|embedder| embedder.dimensions);
        let kept = options.dimensions.or(of_files).unwrap_or(columns);
        if options.dimensions.is_some_and(|wanted| wanted == 0 || wanted > columns) {
            return Err(Error::Settings(format!(
                "{kept} dimensions: the model's vectors have {columns}; ask for 1 to {columns}"
            )));
        }
        let mut rows = values.chunks(columns);
        for vector in embeddings.iter_mut().flatten() {
            let row = rows.next().expect("a row for each vector");
            *vector = row[..kept.min(columns)].to_vec();
            if options.normalize == Some(true) {
                scale_to_one(vector);
            }
        }
        Ok(())
    }
}

/// The vectors of a text from those of its windows, which share `overlap` tokens with the one before.
fn join_windows(mut windows: Vec<Vec<Vec<f32>>>, pooling: &[Pooling], overlap: usize) -> Vec<Vec<f32>> {
    if windows.len() == 1 {
        return windows.remove(0);
    }
    if pooling == [Pooling::None] {
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
    let (means, maxima) = (mean(&rows, columns), largest(&rows, columns));
    let part = columns / pooling.len();
    let of = |(at, pooling): (usize, &Pooling)| {
        let vector = if *pooling == Pooling::Max { &maxima } else { &means };
        vector[at * part..(at + 1) * part].to_vec()
    };
    vec![pooling.iter().enumerate().flat_map(of).collect()]
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
        let joined = join_windows(vec![window(0..6), window(3..9), window(6..10)], &[Pooling::None], 3);
        let expected: Vec<f32> = std::iter::once(-1.0).chain((0..10).map(|x| x as f32)).chain([-2.0]).collect();
        assert_eq!(joined.concat(), expected);
        assert_eq!(join_windows(vec![vec![vec![1.0, 5.0]], vec![vec![3.0, 4.0]]], &[Pooling::Max], 3), [[3.0, 5.0]]);
        assert_eq!(join_windows(vec![vec![vec![1.0, 5.0]], vec![vec![3.0, 4.0]]], &[Pooling::Cls], 3), [[2.0, 4.5]]);
        let both = vec![vec![vec![1.0, 5.0]], vec![vec![3.0, 4.0]]];
        assert_eq!(join_windows(both, &[Pooling::Mean, Pooling::Max], 3), [[2.0, 5.0]]);
    }
}
