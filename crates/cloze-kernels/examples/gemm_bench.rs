//! How fast the products of linear layers and attention run, next to the fastest that the processor's
//! multiply-adds could be:
//!
//! ```text
//! cargo run --release -p cloze-kernels --example gemm_bench -- [THREADS] [portable|bf16|int8]
//! ```

use std::time::{Duration, Instant};

use cloze_kernels::{AttentionStarts, Cpu, Heads, Kernels, MatrixShape, Precision, Purpose, Role, Span, Store};

/// Rows, inputs and outputs of a linear layer.
const SHAPES: [[usize; 3]; 9] = [
    [1024, 768, 3072],
    [1024, 3072, 768],
    [1024, 768, 768],
    [4096, 384, 1536],
    [128, 768, 2304],
    [32, 768, 3072],
    [1, 768, 3072],
    [600, 768, 30522],
    [512, 128, 512],
];

/// Sequences, tokens of each, and query rows of each.
const ATTENTIONS: [[usize; 3]; 5] = [[32, 32, 32], [8, 128, 128], [4, 512, 512], [1, 2048, 2048], [32, 128, 1]];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.first().and_then(|threads| threads.parse().ok()).unwrap_or(2);
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let precision = match (asked("bf16"), asked("int8")) {
        (true, _) => Precision::Bf16,
        (_, true) => Precision::Int8,
        _ => Precision::F32,
    };
    let cpu = if asked("portable") { Cpu::portable(threads) } else { Cpu::with_precision(threads, precision) };
    let cpu = cpu.expect("threads");
    let purpose = if precision == Precision::Int8 { Purpose::Inference } else { Purpose::Training };
    let peak = cpu.ceiling_gflops(500);
    println!("{threads} threads, {}, multiply-adds alone: {peak:.0} GFLOP/s", cpu.instructions());
    println!("{:28}{:>16}{:>16}{:>16}", "rows × inputs → outputs", "forward", "dx", "dW");
    for [rows, inputs, outputs] in SHAPES {
        linear(&cpu, purpose, peak, rows, MatrixShape { outputs, inputs });
    }
    println!("{:28}{:>16}{:>16}", "sequences × keys, queries", "forward", "backward");
    for [sequences, keys, queries] in ATTENTIONS {
        attention(&cpu, peak, sequences, keys, queries);
    }
}

fn linear(cpu: &Cpu, purpose: Purpose, peak: f64, rows: usize, shape: MatrixShape) {
    let MatrixShape { outputs, inputs } = shape;
    let flops = (2 * rows * inputs * outputs) as f64;
    let (mut x, mut y) = (numbers(rows * inputs), numbers(rows * outputs));
    let mut weight = cpu.matrix(shape, purpose, Role::Encoder).expect("memory");
    let mut arena = numbers(inputs * outputs + outputs);
    let (weight_at, bias_at) =
        (Span { start: 0, len: inputs * outputs }, Span { start: inputs * outputs, len: outputs });
    cpu.pack(&mut weight, &arena, weight_at);
    let forward = best(|| cpu.linear_forward(&mut y, &x, &weight, None, rows, 0..outputs));
    if purpose == Purpose::Inference {
        return print_row(&format!("{rows} × {inputs} → {outputs}"), peak, flops, &[forward]);
    }
    let dx = best(|| cpu.linear_backward_input(&mut x, &y, &weight, Store::Overwrite, rows, 0..outputs));
    let (x, y) = (numbers(rows * inputs), numbers(rows * outputs));
    let starts = vec![0, rows as u32];
    let dw = best(|| cpu.linear_backward_weight(&mut arena, weight_at, Some(bias_at), &y, &x, shape, &starts));
    print_row(&format!("{rows} × {inputs} → {outputs}"), peak, flops, &[forward, dx, dw]);
}

fn attention(cpu: &Cpu, peak: f64, sequences: usize, keys: usize, queries: usize) {
    let heads = Heads { count: 12, size: 64 };
    let flops = (4 * sequences * keys * queries * heads.columns()) as f64;
    let starts = |rows: usize| (0..=sequences).map(|at| (at * rows) as u32).collect::<Vec<u32>>();
    let (query_starts, key_starts) = (starts(queries), starts(keys));
    let starts = AttentionStarts { queries: &query_starts, keys: &key_starts };
    let q = numbers(sequences * queries * heads.columns());
    let kv = numbers(sequences * keys * 2 * heads.columns());
    let (mut y, mut dq, mut dkv) = (q.clone(), q.clone(), kv.clone());
    let mut log_sum_exp = numbers(sequences * queries * heads.count);
    let forward = best(|| cpu.attention_forward(&mut y, &mut log_sum_exp, &q, &kv, None, starts, heads));
    let backward =
        best(|| cpu.attention_backward(&mut dq, &mut dkv, &q, &y, &q, &kv, &log_sum_exp, None, starts, heads));
    // Backward has five products where forward has two.
    print_row(&format!("{sequences} × {keys}, {queries}"), peak, flops, &[forward, backward.mul_f64(0.4)]);
}

fn print_row(name: &str, peak: f64, flops: f64, times: &[Duration]) {
    print!("{name:28}");
    for time in times {
        let gflops = flops / time.as_secs_f64() / 1e9;
        print!("{:>9.1} {:>4.0} %", gflops, 100.0 * gflops / peak);
    }
    println!();
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32).map(|at| (at.wrapping_mul(0x9E37_79B1) >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
}

/// The shortest of many runs within half a second.
fn best(mut work: impl FnMut()) -> Duration {
    work();
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best
}
