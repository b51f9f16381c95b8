//! The network: embeddings, encoder, pooler, forward and backward side by side.
//!
//! Everything here is generic over the [`Kernels`](cloze_kernels::Kernels) it runs on, and reads like the paper: a layer's
//! forward is a list of calls, its backward the same list reversed.

mod attention;
mod batch;
mod embeddings;
mod encoder;
mod feed_forward;
mod network;
mod pooler;
mod tape;

pub(crate) use batch::starts_within;
pub use batch::{Batch, PackedBatch, ReadRows};
pub use encoder::{encoder_backward, encoder_forward};
pub use network::{Draws, Network};
pub(crate) use network::{Site, dropout};
pub use pooler::{PoolerTape, pooler_backward, pooler_forward};
pub use tape::{ActivationGradients, Keep, LayerTape, Tape, grow, grow_vector};
