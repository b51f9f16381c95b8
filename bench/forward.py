"""Forward of one model by all contenders: which there are, their inputs, and whether they agree."""

import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file

import check
import machine
from rounds import Cloze, Worker, measure, progress
from shapes import FORWARD, forward_flops, repetitions, size_flag

HERE = Path(__file__).parent
# What peers/export.py makes at the end.
LAST_EXPORT = "static_int8.xml"


def peers(precision, options):
    """All peers of a precision that this machine can run, and notes on the others."""
    plain = machine.environment(options.threads, options.cache)
    told = machine.mkl_told(plain, options.cache)
    exports, threads = options.exports, ["--threads", str(options.threads)]
    notes = []

    def worker(name, script, *arguments, environment=plain):
        command = [sys.executable, str(HERE / "peers" / script), *map(str, arguments), *threads]
        return Worker(name, command, environment, options.cache / "workers.log")

    def torch(name, *arguments, environment=plain):
        arguments = ["--model", options.model, "--precision", precision, *arguments]
        return worker(name, "torch_forward.py", *arguments, environment=environment)

    def openvino(file, hint):
        return worker("OpenVINO", "openvino_forward.py", "--model", exports / file, "--precision", hint)

    found = []
    if precision == "int8":
        found.append(worker("ONNX Runtime, dynamic", "onnx_forward.py", "--model", exports / "dynamic_int8.onnx"))
        # What is not quantised is f32, as OpenVINO has it unless told otherwise.
        found.append(openvino("static_int8.xml", "f32"))
        return found, notes
    found.append(torch("PyTorch"))
    compiles = machine.cpp_compiler() is not None
    if not compiles:
        notes.append("PyTorch compiled: needs a C++ compiler, and there is none")
    told_matters = precision == "f32"
    if told_matters and told is None:
        notes.append("PyTorch, MKL told: needs a C compiler, and there is none")
    if compiles and (options.thorough or not told_matters or told is None):
        found.append(torch("PyTorch compiled", "--compile"))
    if told_matters and told is not None:
        found.append(torch("PyTorch, MKL told", environment=told))
        if compiles:
            found.append(torch("PyTorch compiled, MKL told", "--compile", environment=told))
    if precision == "f32":
        found.append(worker("ONNX Runtime", "onnx_forward.py", "--model", exports / "fused.onnx"))
        if options.candle:
            command = [str(options.candle), "--model", str(options.model)]
            found.append(Worker("candle", command, plain, options.cache / "workers.log"))
    found.append(openvino("model.xml", precision))
    return found, notes


def cloze_contender(precision, options):
    def arguments(shape):
        lengths = ",".join(map(str, shape.lengths))
        return [
            str(options.cloze), "bench", "forward", "--model", str(options.model), "--lengths", lengths,
            "--precision", precision, "--threads", str(options.threads),
        ]  # fmt: skip

    return Cloze("Cloze", arguments, options.cache / "cloze.log")


def prepare_models(options):
    """The model with random weights, and what is exported from it: made once."""
    environment = machine.environment(options.threads, options.cache)
    with open(options.cache / "prepare.log", "ab") as log:

        def script(name, *arguments):
            command = [sys.executable, str(HERE / "peers" / name), *map(str, arguments)]
            subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)

        if not (options.model / "vocab.txt").exists():
            progress(f"making a model with random weights: {options.size}")
            script("make_model.py", options.model, "--size", size_flag(options.size))
        if not (options.exports / LAST_EXPORT).exists():
            progress("exporting the model for ONNX Runtime and OpenVINO")
            script("export.py", options.model, options.exports)


def run(options, precision):
    """{precision: {"shapes": {shape: {"gflop", "contenders"}}, "notes"}}"""
    shapes = [FORWARD[name] for name in options.shapes]
    batches = {shape.name: draw_batch(shape, options) for shape in shapes}
    contenders, notes = peers(precision, options)
    outputs = options.cache / "outputs" / precision
    outputs.mkdir(parents=True, exist_ok=True)

    def output(shape, contender):
        return outputs / f"{contender.replace(' ', '_')}-{file_name(shape)}"

    measured = measure(
        cloze_contender(precision, options), [peer for peer in contenders if options.wants(peer.name)],
        shapes, options.rounds,
        batches=lambda shape: batches[shape.name],
        repetitions=lambda shape: repetitions(options.size, shape.lengths),
        outputs=output,
    )  # fmt: skip
    results = {}
    for shape in shapes:
        path = batches[shape.name]
        batch, expected = load_file(path), expected_output(path, options)
        for name, entry in measured[shape.name].items():
            if entry["rounds"]:
                entry["check"] = check.compare(output(shape, name), batch, expected, precision)
        gflop = forward_flops(options.size, shape.lengths) / 1e9
        results[shape.name] = {"gflop": gflop, "contenders": measured[shape.name]}
    return {precision: {"notes": notes, "shapes": results}}


def draw_batch(shape, options):
    """A file with the ids of a shape. Cloze draws them and writes them beside its outputs, the same ids each time."""
    path = options.cache / "batches" / f"{options.size}-{file_name(shape)}"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        cloze = cloze_contender("f32", options)
        cloze.prepare(shape, None)
        cloze.run(1, path)
    return path


def expected_output(batch, options):
    environment = machine.environment(options.threads, options.cache)
    output = batch.with_suffix(".expected")
    return check.reference(batch, options.model, output, environment, options.cache / "workers.log")


def file_name(shape):
    return "".join(letter if letter.isalnum() else "_" for letter in shape.name) + ".safetensors"
