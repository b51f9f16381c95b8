"""The benchmark's options and order. Call it through bench/run, which makes its environment."""

import argparse
import datetime
import json
import sys
from pathlib import Path

import forward
import machine
import render
import start
import tokenizer
import train
from rounds import progress
from shapes import DEFAULT_TRAIN, FORWARD, QUICK_FORWARD, QUICK_TRAIN, SIZES, TRAIN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def names(known):
    def parse(text):
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return chosen

    return parse


def words(text):
    return [word.strip().lower() for word in text.split(",")] if text else []


def parse_options():
    parser = argparse.ArgumentParser(prog="bench/run", description="Cloze beside others, on this machine.")
    parser.add_argument("--quick", action="store_true", help="three shapes, two rounds, one training; minutes")
    parser.add_argument("--thorough", action="store_true", help="slower forms of PyTorch, too")
    parser.add_argument("--only", type=names(["forward", "train", "start"]), help="some parts, with commas between")
    parser.add_argument("--precision", dest="precisions", type=names(["f32", "bf16", "int8"]))
    parser.add_argument("--shapes", type=names(FORWARD), help=f"of forward: {','.join(FORWARD)}")
    parser.add_argument("--train-shapes", type=names(TRAIN), help=f"of training: {','.join(TRAIN)}")
    parser.add_argument("--rounds", type=int, help="turns of each contender [default: 5, quick: 2]")
    parser.add_argument("--train-rounds", type=int, help="turns in training [default: 3, quick: 2]")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="[default: all]")
    parser.add_argument("--peers", help="contenders with one of these words in their names, for example onnx,openvino")
    parser.add_argument("--skip", help="none with one of these words in their names, for example compiled")
    parser.add_argument("--model-size", dest="size", choices=SIZES, default="base", help="of forward and start")
    parser.add_argument("--tokenizer", type=Path, nargs="+", help="VOCAB FILES: measure tokenizers on them, too")
    parser.add_argument("--cloze", type=Path, required=True, help="the program [bench/run builds it]")
    parser.add_argument("--candle", type=Path, help="the worker of bench/candle [bench/run --with candle builds it]")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache", help="models, outputs, logs, results")
    parser.add_argument("--output", type=Path, help="the table [default: docs/benchmarks.md; quick: in the cache]")
    options = parser.parse_args()
    quick = options.quick
    options.only = options.only or ["forward", "train", "start"]
    options.precisions = options.precisions or ["f32", "bf16", "int8"]
    options.shapes = options.shapes or (QUICK_FORWARD if quick else list(FORWARD))
    options.train_shapes = options.train_shapes or (QUICK_TRAIN if quick else DEFAULT_TRAIN)
    options.rounds = options.rounds or (2 if quick else 5)
    options.train_rounds = options.train_rounds or (2 if quick else 3)
    options.cache = options.cache.resolve()
    options.model = options.cache / "models" / options.size
    options.exports = options.cache / "exports" / options.size
    options.output = options.output or (options.cache / "quick.md" if quick else ROOT / "docs" / "benchmarks.md")
    options.results = options.cache / ("quick.json" if quick else "results.json")
    wanted, unwanted = words(options.peers), words(options.skip)

    def wants(name):
        found = [word for word in unwanted + wanted if word in name.lower()]
        return not set(found) & set(unwanted) and (not wanted or bool(found))

    options.wants = wants
    return options


def main():
    options = parse_options()
    options.cache.mkdir(parents=True, exist_ok=True)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    results["machine"] = machine.described(ROOT, options.cloze, options.threads)

    def keep(section, content, **settings):
        """Parts can be measured one after another: each replaces what it was measured for before."""
        settings["when"] = datetime.date.today().isoformat()
        settings["cloze"] = results["machine"]["cloze"]
        # Figures of another model have no place in one table with these.
        others = results.get(section, {}).items()
        kept = {name: value for name, value in others if value.get("size") == settings.get("size")}
        results[section] = kept | {name: settings | value for name, value in content.items()}
        options.results.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")

    if {"forward", "start"} & set(options.only):
        forward.prepare_models(options)
    if "forward" in options.only:
        for precision in options.precisions:
            keep("forward", forward.run(options, precision), size=options.size, rounds=options.rounds)
    if "train" in options.only:
        for precision in [name for name in options.precisions if name != "int8"]:
            keep("train", train.run(options, precision), rounds=options.train_rounds)
    if "start" in options.only:
        keep("start", {"start": start.run(options)}, size=options.size, rounds=options.rounds)
    if options.tokenizer:
        keep("tokenizer", {"tokenizer": tokenizer.run(options)})

    options.output.write_text(render.document(results))
    progress(f"wrote {options.output}")
    wrong = render.disagreements(results)
    for text in wrong:
        print(f"error: {text}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
