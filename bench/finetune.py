"""Fine-tuning from the start of the process to the metrics: Cloze beside transformers and PyTorch.

    bench/run finetune --model MINILM --train MRPC/train.tsv --dev MRPC/dev.tsv --epochs 3

Both with AdamW (bias-corrected, eps 1e-8, decay 0.01 not on biases and LayerNorm), batches of 32, at most 128 tokens,
warm-up over 10 % of the steps and then linear to 0, gradients clipped at 1, dropout 0.1, shuffled. PyTorch's MKL is
told about the processor where that is possible; batches are padded to their longest row. PyTorch measures the dev set
once, at the end; Cloze does after each epoch, and writes the model, too. That costs Cloze a little.

With `--max-steps N` both learn from the first N batches of the file only, in one epoch: for the speed, not for
the metrics.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent


def parse_options():
    parser = argparse.ArgumentParser(prog="bench/run finetune", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face directory")
    parser.add_argument("--train", type=Path, required=True, help="a .tsv file with a header")
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--columns", help="text=NAME,text_b=NAME,label=NAME [default: recognised, as GLUE has them]")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--max-steps", type=int, help="learn from so many batches only")
    parser.add_argument("--only", choices=["cloze", "pytorch"], help="one of the two")
    parser.add_argument("--cloze", type=Path, required=True, help="the program [bench/run builds it]")
    return parser.parse_args()


def shortened(train, rows, folder):
    with open(train, encoding="utf-8", newline="") as file:
        lines = [line for _, line in zip(range(rows + 1), file)]
    path = folder / "train.tsv"
    path.write_text("".join(lines), encoding="utf-8", newline="")
    return path


def run_pytorch(options, flags, environment):
    command = [sys.executable, str(HERE / "peers" / "torch_finetune.py"), *flags]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_cloze(options, flags, folder):
    command = [str(options.cloze), "finetune", "--task", "classification", *flags, "--json"]
    command += ["--output", str(folder / "model")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last = [event for event in events if "eval_accuracy" in event][-1]
    return {name.removeprefix("eval_"): value for name, value in last.items() if name in ("eval_accuracy", "eval_f1")}


def main():
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.max_steps:
            options.train = shortened(options.train, options.max_steps * options.batch_size, folder)
            options.epochs = 1
        names = ["model", "train", "dev", "columns", "epochs", "batch_size", "learning_rate", "dropout"]
        names += ["precision", "threads", "seed"]
        given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        environment = machine.environment(options.threads, folder)
        environment = machine.mkl_told(environment, folder) or environment
        contenders = {
            "cloze": lambda: run_cloze(options, flags, folder),
            "pytorch": lambda: run_pytorch(options, flags, environment),
        }
        for name, work in contenders.items():
            if options.only in (None, name):
                start = time.perf_counter()
                metrics = work()
                seconds = round(time.perf_counter() - start, 2)
                print(json.dumps({"contender": name, "seconds": seconds} | metrics), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
