"""From the start of a process to its answer: a class for one sentence, with a model of the benchmark's size."""

import json
import subprocess
import sys
import time
from pathlib import Path

import machine
from rounds import progress

HERE = Path(__file__).parent
TEXT = "The farmer left the barn and went to the meadow. The sheep were waiting for him there, all morning, in rain."
# Probabilities; in bf16 and int8 logits of random weights move by a few hundredths.
BOUNDS = {"f32": 1e-4, "bf16": 0.02, "int8": 0.05}


def commands(options):
    """{contender: (precision, command)}"""
    threads = ["--threads", str(options.threads)]
    model = str(options.model)
    found = {
        f"Cloze {precision}": (
            precision,
            [str(options.cloze), "predict", "--model", model, "--text", TEXT, "--precision", precision, "--json"],
        )
        for precision in options.precisions
    }
    scripts = HERE / "peers"
    onnx = [str(options.exports / "classifier.onnx"), f"{model}/tokenizer.json", TEXT]
    peers = {
        "transformers f32": ("f32", [str(scripts / "start_torch.py"), model, TEXT]),
        "ONNX Runtime f32": ("f32", [str(scripts / "start_onnx.py"), *onnx]),
    }
    for name, (precision, command) in peers.items():
        if options.wants(name):
            found[name] = (precision, [sys.executable, *command])
    return {name: (precision, [*command, *threads]) for name, (precision, command) in found.items()}


def probabilities(name, output):
    answer = json.loads(output)
    return list(answer["scores"].values()) if name.startswith("Cloze") else answer


def run(options):
    """{"contenders": {contender: {"seconds": [a round], "note", "difference", "agrees"}}}

    The first round fills the file cache, and is left out.
    """
    environment = machine.environment(options.threads, options.cache)
    contenders = commands(options)
    results = {name: {"seconds": []} for name in contenders}
    answers = {}
    for number in range(options.rounds + 1):
        progress(f"start, round {number} of {options.rounds}: {len(contenders)} contenders")
        for name, (_, command) in contenders.items():
            began = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            seconds = time.perf_counter() - began
            if done.returncode != 0:
                results[name]["note"] = (done.stderr.strip().splitlines() or ["no message"])[-1]
                continue
            answers[name] = probabilities(name, done.stdout)
            if number > 0:
                results[name]["seconds"].append(seconds)
    expected = answers.get("transformers f32")
    for name, answer in answers.items():
        if expected:
            difference = max(abs(ours - theirs) for ours, theirs in zip(answer, expected, strict=True))
            results[name] |= {"difference": difference, "agrees": difference <= BOUNDS[contenders[name][0]]}
    return {"contenders": results}
