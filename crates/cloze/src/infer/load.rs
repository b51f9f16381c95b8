//! A network filled piece by piece, several parameters at once. Its weights are never in memory twice.

use std::sync::OnceLock;

use cloze_kernels::{Cpu, Kernels, Purpose, Span};
use rayon::prelude::*;

use crate::checkpoint::{Rows, TakeRows};
use crate::model::Network;
use crate::params::{Declaration, MatrixSpan, Parameter};
use crate::{Config, Error};

type Matrix = <Cpu as Kernels>::Matrix;
type Vector = <Cpu as Kernels>::Vector;

/// The network of `declaration`. `read` hands over the values of a parameter in pieces of whole rows, each with
/// the number of its first row; what it does not hand over is 0. The decoder of a masked language model is left
/// out until it is used: the word embeddings once more are a fifth of a base-size model.
pub(crate) fn load<R>(kernels: Cpu, config: &Config, declaration: &Declaration, read: R) -> Result<Network<Cpu>, Error>
where
    R: Fn(&Parameter, &mut TakeRows) -> Result<(), Error> + Sync,
{
    let mut layout = declaration.layout.clone();
    if let Some(mlm) = &mut layout.mlm {
        mlm.decoder = OnceLock::new();
    }
    let load_matrix = |at: &MatrixSpan| -> Result<Matrix, Error> {
        let mut matrix = kernels.matrix(at.shape, Purpose::Inference, at.role)?;
        for parameter in parameters_in(declaration, at.span) {
            let first = (parameter.span.start - at.span.start) / at.shape.inputs;
            read(parameter, &mut |row, rows| {
                match rows {
                    Rows::Numbers(rows) => kernels.pack_rows(&mut matrix, first + row, rows),
                    Rows::Quantized { values, scales } => {
                        kernels.pack_quantized_rows(&mut matrix, first + row, values, scales);
                    }
                }
                Ok(())
            })?;
        }
        Ok(matrix)
    };
    let load_vector = |at: &Span| -> Result<Vector, Error> {
        let mut vector = kernels.vector(at.len)?;
        for parameter in parameters_in(declaration, *at) {
            let (first, columns) = (parameter.span.start - at.start, parameter.columns());
            read(parameter, &mut |row, rows| {
                Ok(kernels.write_vector(&mut vector, first + row * columns, rows.numbers())?)
            })?;
        }
        Ok(vector)
    };

    let (mut matrices, mut vectors) = (Vec::new(), Vec::new());
    layout.try_map(
        |&at| {
            matrices.push(at);
            Ok::<_, Error>(())
        },
        |&at| {
            vectors.push(at);
            Ok(())
        },
    )?;
    let (mut matrices, mut vectors) =
        rayon::join(|| all_of(&matrices, load_matrix).into_iter(), || all_of(&vectors, load_vector).into_iter());
    let parameters = layout
        .try_map(|_| matrices.next().expect("a matrix for each"), |_| vectors.next().expect("a vector for each"))?;
    Ok(Network { kernels, config: config.clone(), parameters })
}

/// What `work` makes of each, in their order. All are waited for, so that of several faults always the same one
/// is told.
fn all_of<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R, Error> + Sync) -> Vec<Result<R, Error>> {
    items.par_iter().with_max_len(1).map(&work).collect()
}

/// The named tensors that lie in a span.
fn parameters_in(declaration: &Declaration, span: Span) -> impl Iterator<Item = &Parameter> {
    declaration.parameters.iter().filter(move |parameter| span.range().contains(&parameter.span.start))
}

#[cfg(test)]
mod tests {
    use cloze_kernels::Kernels;

    use super::*;
    use crate::bench::{Work, forward};
    use crate::params::{HeadSet, TaskHead};

    /// Sizes that no number of rows of a panel divides.
    fn declared() -> (Config, Declaration, Vec<f32>) {
        let config = Config {
            vocab_size: 151,
            hidden_size: 40,
            num_attention_heads: 4,
            intermediate_size: 101,
            labels: vec!["a".into(), "b".into(), "c".into()],
            ..Config::tiny()
        };
        let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(3)) };
        let declaration = Declaration::new(&config, heads);
        let weights = declaration.initial_weights(0.1, 5);
        (config, declaration, weights)
    }

    /// From pieces of some rows.
    fn in_pieces(rows: usize, threads: usize) -> Network<Cpu> {
        let (config, declaration, weights) = declared();
        let read = |parameter: &Parameter, take: &mut TakeRows| {
            let mut pieces = weights[parameter.span.range()].chunks(rows * parameter.columns()).enumerate();
            pieces.try_for_each(|(at, piece)| take(at * rows, Rows::Numbers(piece)))
        };
        load(Cpu::new(threads).unwrap(), &config, &declaration, read).unwrap()
    }

    /// What comes out at the end of the encoder, of the pooler, and of each head.
    fn outputs(network: &Network<Cpu>) -> Vec<Vec<f32>> {
        let ran = forward(network, &Work { lengths: vec![3, 11], repetitions: 1, seed: 3 }).unwrap();
        let (kernels, parameters) = (&network.kernels, &network.parameters);
        let mlm = parameters.mlm.as_ref().unwrap();
        let nsp = parameters.nsp.as_ref().unwrap();
        let classifier = parameters.task.as_ref().unwrap();
        let heads = [
            (&mlm.transform.weight, &mlm.transform.bias, 40),
            (network.decoder().unwrap(), &mlm.decoder_bias, 151),
            (&nsp.weight, &nsp.bias, 2),
            (&classifier.weight, &classifier.bias, 3),
        ];
        let on_heads = heads.map(|(weight, bias, outputs)| {
            let mut y = kernels.activations(14 * outputs).unwrap();
            kernels.linear_forward(&mut y, &ran.last_hidden_state, weight, Some(bias), 14, 0..outputs);
            y
        });
        let mut outputs = vec![ran.last_hidden_state, ran.pooler_output.unwrap()];
        outputs.extend(on_heads);
        outputs
    }

    #[test]
    fn pieces_of_any_size_give_the_network_of_the_whole() {
        let (config, declaration, weights) = declared();
        let kernels = Cpu::new(2).unwrap();
        let whole = outputs(&Network::new(kernels, &config, &declaration, &weights, Purpose::Inference).unwrap());
        assert!(whole.iter().all(|values| values.iter().any(|&value| value != 0.0)));
        for (rows, threads) in [(1, 1), (7, 3), (96, 2), (1000, 2)] {
            assert!(outputs(&in_pieces(rows, threads)) == whole, "{rows} rows");
        }
    }

    #[test]
    fn of_several_faults_the_first_is_told() {
        let (config, declaration, _) = declared();
        let read = |parameter: &Parameter, _: &mut TakeRows| match parameter.name.ends_with(".bias") {
            true => Err(Error::Settings(parameter.name.clone())),
            false => Ok(()),
        };
        for _ in 0..20 {
            let error = load(Cpu::new(4).unwrap(), &config, &declaration, read).err().unwrap();
            assert_eq!(error.to_string(), "bert.embeddings.LayerNorm.bias");
        }
    }
}
