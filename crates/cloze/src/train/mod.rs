//! Training: single steps with a loop of one's own, or whole runs that can be stopped and resumed.

mod card;
mod curves;
mod events;
mod finetune;
mod found;
mod history;
pub(crate) mod memory;
mod pace;
mod pretrain;
mod run;
mod seeds;
mod setup;
mod short_runs;
mod state;
mod tensorboard;
mod trainer;
mod verdict;

pub use card::shell_word;
pub use events::{Event, Metrics, Observer, Outcome, RunOptions, StepLog};
pub use finetune::finetune;
pub use pretrain::pretrain;
pub(crate) use pretrain::{Data, HeldOut};
pub use run::{CARD, EVALUATION, MARK, REPORT, is_ours};
pub use seeds::{SUMMARY, finetune_seeds};
pub use setup::BATCH_SIZE_MAX;
pub use state::{RUN_STATE, TRAINER_STATE};
pub use tensorboard::EventWriter;
pub use trainer::{StepReport, Trainer, TrainerState};
pub use verdict::{Advice, Verdict};
