//! The weight of a linear layer, packed for products in both directions.

use std::ops::Range;

use super::chunks::{chunks_mut, for_each_part};
use super::gemm::inner_parts;
use super::lines::{Line, floats, floats_mut, try_filled, try_zeros};
use super::operand::{ColumnScales, Kind, int8_weight_words, quantize_rows, to_words};
use super::panels::{COLUMNS, Panels, pack_rows, packed_len, transpose_words};
use super::scratch;
use super::simd::Level;
use crate::{Error, MatrixShape};

/// A weight `[outputs, inputs]`, in panels of 16 outputs: `[outputs / 16][steps][16]` words.
///
/// This is B of `x · Wᵀ`. That of `dy · W` is made from it when it is needed
/// ([`Matrix::for_each_backward_part`]): a cost that counts where there are few rows, for which a second copy
/// of all weights is saved.
#[derive(Debug)]
pub struct Matrix {
    pub(super) shape: MatrixShape,
    pub(super) kind: Kind,
    level: Level,
    words: Vec<Line>,
    /// Of each panel; in int8 only.
    scales: Vec<ColumnScales>,
}

impl Matrix {
    /// A matrix of zeros.
    pub(super) fn zeros(level: Level, kind: Kind, shape: MatrixShape) -> Result<Matrix, Error> {
        let panels = shape.outputs.div_ceil(COLUMNS);
        // A product that no machine can hold becomes the largest size, which fails likewise.
        let words = try_zeros(panels.saturating_mul(kind.steps(shape.inputs)))?;
        let scales = try_filled(ColumnScales::ZERO, if kind == Kind::Int8 { panels } else { 0 })?;
        Ok(Matrix { shape, kind, level, words, scales })
    }

    fn steps(&self) -> usize {
        self.kind.steps(self.shape.inputs)
    }

    /// Takes over the rows from `first` on, `rows [any number, inputs]` row-major. Fastest where they fill
    /// whole panels.
    pub(super) fn pack(&mut self, first: usize, rows: &[f32]) {
        self.refresh(first, rows.len(), |part| &rows[part]);
    }

    /// Takes over `len` numbers of rows from `first` on. `part` gives those at a place among them, once for each
    /// panel, on all threads.
    pub(super) fn refresh<'a>(&mut self, first: usize, len: usize, part: impl Fn(Range<usize>) -> &'a [f32] + Sync) {
        let MatrixShape { outputs, inputs } = self.shape;
        if inputs == 0 {
            return;
        }
        let last = first + len / inputs;
        assert!(len.is_multiple_of(inputs) && last <= outputs, "{first}..{last} of {outputs} outputs");
        let (level, kind, steps) = (self.level, self.kind, self.steps());
        let first_panel = first / COLUMNS;
        let pack = |at: usize, words: &mut [Line], scales: Option<&mut ColumnScales>| {
            let panel = (first_panel + at) * COLUMNS..outputs.min((first_panel + at + 1) * COLUMNS);
            let asked = first.max(panel.start)..last.min(panel.end);
            let rows = part((asked.start - first) * inputs..(asked.end - first) * inputs);
            let words = floats_mut(words);
            match scales {
                Some(scales) => pack_int8(words, scales, asked.start - panel.start, rows, inputs),
                None if asked == panel => pack_rows(level, kind, words, rows, inputs, inputs),
                None => scratch::with(steps, |row_words| {
                    for (lane, row) in (asked.start - panel.start..).zip(rows.chunks_exact(inputs)) {
                        to_words(level, kind, row_words, row);
                        write_lane(words, lane, row_words);
                    }
                }),
            }
        };
        let count = last.div_ceil(COLUMNS) - first_panel;
        let panels = first_panel..first_panel + count;
        let words = chunks_mut(&mut self.words[panels.start * steps..panels.end * steps], steps);
        let scales = (kind == Kind::Int8).then(|| chunks_mut(&mut self.scales[panels], 1));
        for_each_part((words, scales), |at, (words, scales)| pack(at, words, scales.map(|scales| &mut scales[0])));
    }

    /// Takes over rows that [`quantize_rows`] made, from `first` on.
    pub(super) fn pack_quantized(&mut self, first: usize, values: &[i8], scales: &[f32]) {
        let inputs = self.shape.inputs;
        if self.kind != Kind::Int8 {
            let rows = values.chunks(inputs.max(1)).zip(scales);
            let numbers: Vec<f32> =
                rows.flat_map(|(values, scale)| values.iter().map(|value| f32::from(*value) * *scale)).collect();
            return self.pack(first, &numbers);
        }
        let steps = self.steps();
        assert_eq!(values.len(), scales.len() * inputs, "values of {} rows of {inputs}", scales.len());
        for ((output, values), scale) in (first..).zip(values.chunks(inputs.max(1))).zip(scales) {
            let (panel, lane) = (output / COLUMNS, output % COLUMNS);
            let words = floats_mut(&mut self.words[panel * steps..(panel + 1) * steps]);
            write_quantized(words, &mut self.scales[panel], lane, values, *scale);
        }
    }

    /// B of `y = x · Wᵀ`: its columns are the outputs.
    pub(super) fn forward_panels(&self) -> Panels<'_> {
        Panels { words: floats(&self.words), depth: self.steps() }
    }

    /// The scales of the forward panels, in int8.
    pub(super) fn scales(&self) -> &[ColumnScales] {
        &self.scales
    }

    /// Calls `work` with B of `dx = dy · W` for some of the outputs at a time, in order: with the outputs, over
    /// which the product sums, and panels of all inputs.
    pub(super) fn for_each_backward_part(&self, outputs: Range<usize>, mut work: impl FnMut(Range<usize>, Panels)) {
        assert!(self.kind != Kind::Int8, "int8 is for inference");
        for outputs in inner_parts(self.kind, outputs) {
            let depth = self.kind.steps(outputs.len());
            scratch::with(packed_len(self.shape.inputs, depth), |words| {
                for_each_part(chunks_mut(words, (depth * COLUMNS).max(1)), |panel, words| {
                    self.write_backward_panel(words, panel, outputs.clone());
                });
                work(outputs, Panels { words, depth });
            });
        }
    }

    /// One panel of 16 inputs, square by square: `[steps over the outputs][16]`.
    fn write_backward_panel(&self, panel: &mut [f32], index: usize, outputs: Range<usize>) {
        let lines_of_square = COLUMNS / self.kind.numbers();
        let first_step = index * lines_of_square;
        let steps = lines_of_square.min(self.steps() - first_step);
        let words = floats(&self.words);
        for (first, lines) in outputs.clone().step_by(COLUMNS).zip(panel.chunks_mut(lines_of_square * COLUMNS)) {
            let outputs = first..outputs.end.min(first + COLUMNS);
            if first.is_multiple_of(COLUMNS) && outputs.len() == COLUMNS {
                let square = &words[(first / COLUMNS * self.steps() + first_step) * COLUMNS..][..steps * COLUMNS];
                transpose_words(self.level, self.kind, lines, square);
            } else {
                self.write_backward_edge(lines, outputs, index);
            }
        }
    }

    /// A square of [`Matrix::write_backward_panel`] with fewer outputs, or outputs of two panels.
    fn write_backward_edge(&self, lines: &mut [f32], outputs: Range<usize>, index: usize) {
        let square = self.square(outputs, index * COLUMNS);
        for (line, column) in lines.chunks_mut(COLUMNS).zip((0..COLUMNS).step_by(self.kind.numbers())) {
            for (word, row) in line.iter_mut().zip(&square) {
                *word = match self.kind {
                    Kind::F32 => row[column],
                    // The numbers have come from 16 bits, so that nothing is lost.
                    _ => f32::from_bits(row[column].to_bits() >> 16 | row[column + 1].to_bits() & 0xffff_0000),
                };
            }
        }
    }

    /// The numbers `[input][output]` of up to 16 inputs from `first_input` on and up to 16 outputs.
    fn square(&self, outputs: Range<usize>, first_input: usize) -> [[f32; COLUMNS]; COLUMNS] {
        let (words, steps) = (floats(&self.words), self.steps());
        let mut square = [[0.0; COLUMNS]; COLUMNS];
        let numbers = self.kind.numbers();
        let first_step = first_input / numbers;
        let steps_here = (COLUMNS / numbers).min(steps - first_step);
        let mut output = outputs.start;
        while output < outputs.end {
            // The outputs of one panel; most often all.
            let (panel, lane) = (output / COLUMNS, output % COLUMNS);
            let count = (COLUMNS - lane).min(outputs.end - output);
            let column = output - outputs.start;
            for step in 0..steps_here {
                let line = &words[((panel * steps) + first_step + step) * COLUMNS + lane..][..count];
                if numbers == 1 {
                    square[step][column..column + count].copy_from_slice(line);
                } else {
                    for (at, word) in line.iter().enumerate() {
                        square[2 * step][column + at] = f32::from_bits(word.to_bits() << 16);
                        square[2 * step + 1][column + at] = f32::from_bits(word.to_bits() & 0xffff_0000);
                    }
                }
            }
            output += count;
        }
        square
    }
}

/// Writes the words of one column to a panel `[steps][16]`.
fn write_lane(panel: &mut [f32], lane: usize, words: &[f32]) {
    let (lines, _) = panel.as_chunks_mut::<COLUMNS>();
    for (line, word) in lines.iter_mut().zip(words) {
        line[lane] = *word;
    }
}

/// Quantizes some columns of a panel, from `first_lane` on.
fn pack_int8(panel: &mut [f32], scales: &mut ColumnScales, first_lane: usize, rows: &[f32], inputs: usize) {
    let mut values = vec![0; inputs];
    for (lane, row) in (first_lane..).zip(rows.chunks_exact(inputs)) {
        let mut scale = [0.0];
        quantize_rows(&mut values, &mut scale, row);
        write_quantized(panel, scales, lane, &values, scale[0]);
    }
}

/// Writes one column of quantized weights to a panel.
fn write_quantized(panel: &mut [f32], scales: &mut ColumnScales, lane: usize, values: &[i8], scale: f32) {
    scratch::with(Kind::Int8.steps(values.len()), |words| {
        int8_weight_words(words, values);
        write_lane(panel, lane, words);
    });
    let sum: i32 = values.iter().map(|value| i32::from(*value)).sum();
    scales.scale[lane] = scale;
    scales.sum[lane] = scale * sum as f32;
}
