//! What the instances of a corpus are like, seen on some of them.

use cloze_tokenizer::Tokenizer;
use serde::Serialize;

use crate::data::corpus::Corpus;
use crate::data::instances::{Coverage, Instance, PlanOptions, Planner, build_instance};
use crate::data::masking::{Masked, Masking};
use crate::error::Error;
use crate::random::{Purpose, Random};

/// The instances of some documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CorpusSample {
    /// How many there are.
    pub instances: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Instances with fewer tokens than they may have.
    pub short: u64,
    /// How much of the documents they read.
    pub coverage: Coverage,
    /// A few of them, masked.
    pub examples: Vec<SampledInstance>,
}

/// A masked instance as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampledInstance {
    /// With masks, `[CLS]` and `[SEP]`.
    pub tokens: Vec<String>,
    /// Positions to predict.
    pub positions: Vec<u32>,
    /// The tokens that stood there.
    pub labels: Vec<String>,
    /// Whether the second half is from elsewhere.
    pub is_random_next: bool,
}

/// Documents that are drawn.
const DOCUMENTS: usize = 1000;
/// Longer ones are not: tokens.
const LONGEST: u64 = 1 << 24;
/// No more are drawn once there are so many tokens.
const TOKENS: u64 = 1 << 24;
/// Instances that are shown.
const EXAMPLES: usize = 3;
/// The share of masked tokens.
const MASKED: f64 = 0.15;

impl CorpusSample {
    /// Draws documents and makes their instances as a first epoch has them.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn draw(
        corpus: &Corpus,
        options: &PlanOptions,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<CorpusSample, Error> {
        let mut sample = CorpusSample::default();
        if corpus.documents() == 0 {
            return Ok(sample);
        }
        let masking = Masking::new(tokenizer, MASKED, false);
        let planner = Planner::new(corpus, options, seed, 0)?;
        let mut random = Random::new(seed, Purpose::Sample, 0, 0);
        let mut drawn: Vec<usize> = (0..DOCUMENTS).map(|_| random.below(corpus.documents() as u64) as usize).collect();
        if corpus.documents() <= DOCUMENTS {
            drawn = (0..corpus.documents()).collect();
            random.shuffle(&mut drawn);
        }
        for (number, document) in drawn.into_iter().enumerate() {
            let tokens = corpus.document(document)?.tokens();
            if tokens.end - tokens.start > LONGEST {
                continue;
            }
            let planned = planner.plan(document)?;
            sample.coverage.add(planned.coverage);
            let plan = planned.instances;
            sample.instances += plan.len() as u64;
            for planned in &plan {
                sample.tokens += planned.tokens() as u64;
                sample.short += u64::from(planned.tokens() < options.max_seq_length);
            }
            if sample.examples.len() < EXAMPLES {
                let planned = &plan[random.below(plan.len() as u64) as usize];
                let instance = build_instance(corpus, planned, tokenizer.special())?;
                let masked = masking.mask(&instance, Random::new(seed, Purpose::Mask, 0, number as u64));
                sample.examples.push(SampledInstance::new(&instance, &masked, tokenizer));
            }
            if sample.tokens >= TOKENS {
                break;
            }
        }
        Ok(sample)
    }
}

impl SampledInstance {
    fn new(instance: &Instance, masked: &Masked, tokenizer: &Tokenizer) -> SampledInstance {
        let name = |id: &u32| tokenizer.token(*id).unwrap_or_default().to_string();
        SampledInstance {
            tokens: masked.ids.iter().map(name).collect(),
            positions: masked.positions.clone(),
            labels: masked.labels.iter().map(name).collect(),
            is_random_next: instance.is_random_next,
        }
    }

    /// All tokens in a line, what is to be predicted in brackets behind what stands there.
    pub fn readable(&self) -> String {
        let mut predicted = self.positions.iter().zip(&self.labels).peekable();
        let tokens =
            self.tokens.iter().zip(0..).map(|(token, position)| match predicted.next_if(|(at, _)| **at == position) {
                Some((_, label)) => format!("{token}({label})"),
                None => token.clone(),
            });
        tokens.collect::<Vec<_>>().join(" ")
    }
}
