"""One step of pre-training by Cloze and PyTorch."""

import statistics
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import machine
from rounds import Cloze, Worker, measure
from shapes import TRAIN, size_flag

HERE = Path(__file__).parent
VOCAB_SIZE = 30522
# What the name of a contender says about its head.
HEADS = {"masked": "masked rows", "all": "all logits"}


def peers(size, precision, options):
    plain = machine.environment(options.threads, options.cache)
    told = machine.mkl_told(plain, options.cache)
    masked, every = HEADS.values()

    def worker(name, words, environment=plain, compiled=False):
        head = next(head for head, its_words in HEADS.items() if its_words == words)
        command = [sys.executable, str(HERE / "peers" / "torch_train.py"), "--size", size_flag(size)]
        command += ["--precision", precision, "--head", head, "--threads", str(options.threads)]
        command += ["--compile"] if compiled else []
        return Worker(f"{name}, {words}", command, environment, options.cache / "workers.log")

    # PyTorch as it comes, and then in faster forms.
    found = [worker("PyTorch", every)]
    # Products of matrices come from MKL in f32 only.
    name, strong = ("PyTorch, MKL told", told) if precision == "f32" and told else ("PyTorch", plain)
    if options.thorough or strong is plain:
        found.append(worker("PyTorch", masked))
    if strong is not plain:
        found += [worker(name, every, strong), worker(name, masked, strong)]
    if machine.cpp_compiler():
        name = name.replace("PyTorch", "PyTorch compiled")
        found.append(worker(name, masked, strong, compiled=True))
        if options.thorough:
            found.append(worker(name, every, strong, compiled=True))
    return found


def cloze_contender(size, precision, options):
    def arguments(shape):
        lengths = ",".join(map(str, shape.lengths))
        command = [str(options.cloze), "bench", "train", "--preset", size, "--lengths", lengths]
        return [*command, "--precision", precision, "--threads", str(options.threads)]

    return Cloze("Cloze", arguments, options.cache / "cloze.log")


def recomputing(cloze):
    """Cloze with less memory: each layer is computed a second time in backward."""
    return Cloze("Cloze, --recompute", lambda shape: [*cloze.arguments(shape), "--recompute"], cloze.log)


def write_batch(shape, path):
    """Random ids. The peers' time does not depend on them, and Cloze draws its own."""
    random = np.random.default_rng(1)
    lengths = np.array(shape.lengths, dtype=np.int64)
    types = np.concatenate([np.arange(length) >= length // 2 for length in shape.lengths])
    ids = random.integers(1000, VOCAB_SIZE, lengths.sum())
    save_file({"input_ids": ids, "token_type_ids": types.astype(np.int64), "lengths": lengths}, path)


def run(options, precision):
    """{precision: {"shapes": {"SIZE, SHAPE": {"gflop", "contenders"}}, "notes"}}"""
    shapes = {}
    for name in options.train_shapes:
        size, shape = TRAIN[name]
        batch = options.cache / "batches" / f"train-{name}.safetensors"
        batch.parent.mkdir(exist_ok=True)
        write_batch(shape, batch)
        cloze = cloze_contender(size, precision, options)
        contenders = [peer for peer in peers(size, precision, options) if options.wants(peer.name)]
        if shape.rows > sum(shape.lengths):
            # With padding a step takes several times as long; the forms that compute less will do.
            contenders = [peer for peer in contenders if peer.name.endswith(HEADS["masked"])]
        measured = measure(
            cloze, contenders, [shape], options.train_rounds,
            batches=lambda shape: batch, repetitions=lambda shape: 1, outputs=lambda shape, contender: None,
            also=[recomputing(cloze)],
        )  # fmt: skip
        shapes[f"{size}, {shape.name}"] = {
            "gflop": counted(measured[shape.name].get(cloze.name, {"rounds": []})["rounds"]),
            "contenders": measured[shape.name],
        }
    return {precision: {"notes": [], "shapes": shapes}}


def counted(answers):
    """Billions of operations of a step as Cloze counts them: the products of matrices that are needed. In the last
    layer these are only those of rows that a head reads."""
    return statistics.median(answer["gflops"] * answer["milliseconds"] / 1e3 for answer in answers) if answers else None
