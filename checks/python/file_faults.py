"""Ends or fails every command that writes, at every file operation, and looks at what is left.

    python file_faults.py CLOZE LIBRARY [--points N] [--jobs N] [--only NAME…]

CLOZE is the program, LIBRARY is libfile_faults.so of checks/file-faults. Each command runs in a folder of its own that
is made anew for every point. At operation 1, 2, … it is killed (a write is done half), or the disk is full from there
on. Then the folder must answer as before the command, or as after it, or be refused by name; a program must not panic;
and the same command again must end as an undisturbed one, with nothing left over. Prints a line for each command;
the exit code is 1 if anything else was seen. --points takes so many of the operations, evenly spread; --only takes the
commands whose names begin so.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SPECIAL = "[PAD] [UNK] [CLS] [SEP] [MASK] .".split()
WORDS = "red blue cat dog runs sleeps the a".split()
PIECES = "z ##e ##b ##r ##a g ##n ##u".split()
CONFIG = {
    "model_type": "bert", "vocab_size": len(SPECIAL + WORDS + PIECES), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 32,
}  # fmt: skip
UPDATE = "--max-seq-length 24 --learning-rate 1e-2 --threads 1"
PRETRAIN = f"pretrain --input corpus.txt --tokenizer vocab --config config.json --steps 4 --batch-size 16 --save-steps 2 {UPDATE}"


def finetune(task):
    ending = {"tokens": "conll", "qa": "json"}.get(task, "tsv")
    start = "--config config.json --tokenizer vocab"
    data = f"--train {task}.{ending} --dev {task}.{ending}"
    more = "--max-query-length 8" if task == "qa" else ""
    return f"finetune --task {task} {start} {data} --epochs 2 --batch-size 8 {UPDATE} {more}"


PREDICT = {task: "predict --model out --text red --json" for task in ["classification", "regression", "multi-label"]}
PREDICT |= {
    "tokens": "evaluate --model out --input tokens.conll --json",
    "qa": "evaluate --model out --input qa.json --json",
}

# Name: (what makes the old state, the command, what asks for the answer). Probes that begin with `file:` or `page:` look
# at the contents of a file.
COMMANDS = {
    "vocab": ([], "vocab --input corpus.txt --size 45 --output out", ["tokenize --tokenizer out --text redblue --json"]),
    "vocab --overwrite": (
        ["vocab --input corpus.txt --size 40 --cased --output out"],
        "vocab --input corpus.txt --size 45 --output out --overwrite",
        ["tokenize --tokenizer out --text Red --json"],
    ),
    "vocab extend": (
        [],
        "vocab extend --model model --input more.txt --add 2 --output out",
        ["tokenize --tokenizer out --text zebra --json", "fill --model out --text [MASK] --json"],
    ),
    "vocab extend --overwrite": (
        ["quantize --model other --output out"],
        "vocab extend --model model --input more.txt --add 2 --output out --overwrite",
        ["tokenize --tokenizer out --text zebra --json", "fill --model out --text [MASK] --json"],
    ),
    "prepare": ([], "prepare --input corpus.txt --tokenizer vocab --output out", ["store", "tokenize --tokenizer out --text red --json"]),
    "prepare --overwrite": (
        ["prepare --input more.txt --tokenizer cased --output out"],
        "prepare --input corpus.txt --tokenizer vocab --output out --overwrite",
        ["store", "tokenize --tokenizer out --text Red --json"],
    ),
    "pretrain": ([], f"{PRETRAIN} --output out", ["fill --model out --text [MASK] --json"]),
    "pretrain --overwrite": (
        [f"{PRETRAIN} --seed 2 --output out"],
        f"{PRETRAIN} --output out --overwrite",
        ["fill --model out --text [MASK] --json"],
    ),
    **{f"finetune {task}": ([], f"{finetune(task)} --output out", [PREDICT[task]]) for task in PREDICT},
    **{
        f"finetune {task} --overwrite": (
            [f"{finetune(task)} --seed 2 --output out"],
            f"{finetune(task)} --output out --overwrite",
            [PREDICT[task]],
        )
        for task in PREDICT
    },
    "finetune --overwrite of another task": (
        [f"{finetune('regression')} --output out"],
        f"{finetune('multi-label')} --output out --overwrite",
        ["predict --model out --text red --json"],
    ),
    "finetune --seeds": (
        [],
        f"{finetune('classification')} --seeds 1,2 --output out",
        ["predict --model out/seed-1 --text red --json", "predict --model out/best --text red --json"],
    ),
    "quantize": ([], "quantize --model model --output out", ["fill --model out --text [MASK] --json"]),
    "quantize --overwrite": (
        ["quantize --model other --output out"],
        "quantize --model model --output out --overwrite",
        ["fill --model out --text [MASK] --json"],
    ),
    "instances": (
        ["instances --google --input more.txt --vocab vocab/vocab.txt --output out.jsonl"],
        "instances --google --input corpus.txt --vocab vocab/vocab.txt --output out.jsonl --dupe-factor 1",
        ["file:out.jsonl"],
    ),
    "report": ([f"{finetune('classification')} --output out"], "report out", ["page:out/report.html", PREDICT["classification"]]),
}  # fmt: skip


class Sweep:
    def __init__(self, cloze, library, root):
        self.cloze, self.library, self.root = cloze.resolve(), library.resolve(), root

    def run(self, folder, command, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FILE_FAULTS")}
        if variables:
            environment["LD_PRELOAD"] = str(self.library)
            environment |= {f"FILE_FAULTS_{name}": str(value) for name, value in variables.items()}
        arguments = [str(self.cloze), *command.split()]
        return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL)

    def must(self, folder, command):
        ran = self.run(folder, command)
        if ran.returncode != 0:
            sys.exit(f"{command}\nends with {ran.returncode}: {ran.stderr.decode()}")

    def world(self):
        folder = self.root / "world"
        folder.mkdir()
        lines = []
        for document in range(24):
            lines += [" ".join(WORDS[(document * 7 + s * 3 + at) % 8] for at in range(4)) + "." for s in range(4)] + [""]
        (folder / "corpus.txt").write_text("\n".join(lines))
        (folder / "more.txt").write_text("the zebra runs.\na zebra sleeps.\n\nthe gnu runs.\na gnu sleeps.\n" * 6)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        colours = [WORDS[row % 2] for row in range(16)]
        tables = {
            "classification": colours,
            "regression": [str(row % 5 / 4) for row in range(16)],
            "multi-label": [colour if row % 3 else "red,blue" for row, colour in enumerate(colours)],
        }
        for name, labels in tables.items():
            rows = [f"the {colour} cat\t{label}" for colour, label in zip(colours, labels)]
            (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
        (folder / "tokens.conll").write_text("".join(f"the O\n{colour} B-{colour}\ncat O\n\n" for colour in colours))
        answers = [
            {"id": str(row), "question": "a cat", "answers": [{"text": colour, "answer_start": 4}]}
            for row, colour in enumerate(colours)
        ]
        paragraphs = [{"context": f"the {c} cat sleeps", "qas": [qa]} for c, qa in zip(colours, answers)]
        (folder / "qa.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
        (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS + PIECES) + "\n")
        self.must(folder, "vocab --input corpus.txt --size 40 --cased --output cased")
        for name, seed in [("model", 1), ("other", 2)]:
            config = "--tokenizer vocab.txt --config config.json"
            self.must(
                folder,
                f"pretrain --input corpus.txt {config} --steps 2 --batch-size 8 --seed {seed} --output {name} {UPDATE}",
            )
        # The vocabulary of the models, for everything that is trained.
        (folder / "vocab").mkdir()
        for name in ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
            shutil.copy(folder / "model" / name, folder / "vocab" / name)
        return folder

    def answer(self, folder, probe):
        """What the folder answers: ("answer", …), ("refused", …), ("page", …) or ("wrong", …)."""
        kind, _, name = probe.partition(":")
        if kind in ("file", "page"):
            path = folder / name
            if not path.exists():
                return ("refused", "no file")
            contents = path.read_bytes()
            if kind == "page":
                return ("answer", "page") if contents.rstrip().endswith(b"</html>") else ("wrong", "half a page")
            return ("answer", hashlib.sha256(contents).hexdigest())
        if probe == "store":
            shutil.rmtree(folder / "probe", ignore_errors=True)
            ran = self.run(
                folder,
                "pretrain --input out --tokenizer out --config config.json --steps 1 --batch-size 4 --dev-fraction 0 --output probe "
                f"{UPDATE} --overwrite",
            )
            stored = folder / "probe" / "cloze.json"
            output = json.loads(stored.read_text())["run"]["data"].encode() if ran.returncode == 0 else b""
            shutil.rmtree(folder / "probe", ignore_errors=True)
        else:
            ran = self.run(folder, probe)
            output = ran.stdout
        if ran.returncode == 0:
            return ("answer", hashlib.sha256(output).hexdigest())
        message = ran.stderr.decode(errors="replace").strip()
        is_named = ran.returncode == 1 and "out" in message and "panicked" not in message
        return ("refused" if is_named else "wrong", message)

    def command(self, world, name, points, jobs):
        before, command, probes = COMMANDS[name]
        base = self.root / "base"
        shutil.copytree(world, base, symlinks=True)
        for step in before:
            self.must(base, step)
        old = [self.answer(base, probe) for probe in probes]
        after = self.root / "after"
        shutil.copytree(base, after, symlinks=True)
        log = self.root / "log"
        ran = self.run(after, command, LOG=log)
        if ran.returncode != 0:
            sys.exit(f"{command}\nends with {ran.returncode}: {ran.stderr.decode()}")
        operations = len(log.read_text().splitlines())
        log.unlink()
        new = [self.answer(after, probe) for probe in probes]
        if any(kind != "answer" for kind, _ in new) or (old == new and name != "report"):
            sys.exit(f"{name}: {old} before, {new} after: nothing to tell apart")
        numbers = list(range(1, operations + 1))
        if points and points < operations:
            numbers = sorted({1 + at * (operations - 1) // (points - 1) for at in range(points)})
        tasks = [(number, fault) for number in numbers for fault in ("KILL_AT", "FULL_FROM")]

        def point(task):
            return self.point(base, command, probes, old, new, *task)

        with ThreadPoolExecutor(jobs) as pool:
            found = list(pool.map(point, tasks))
        shutil.rmtree(base)
        shutil.rmtree(after)
        counts, faults = Counter(), []
        for task, (states, fault) in zip(tasks, found):
            counts.update([states])
            if fault:
                faults.append(f"    {task[1]}={task[0]}: {fault}")
        figures = ", ".join(f"{state} {counts[state]}" for state in ["old", "new", "refused", "wrong"])
        print(f"{name}: {operations} operations, {len(tasks)} runs: {figures}; faults {len(faults)}", flush=True)
        for fault in faults[:20]:
            print(fault, flush=True)
        return len(tasks), len(faults)

    def point(self, base, command, probes, old, new, number, fault):
        folder = Path(tempfile.mkdtemp(dir=self.root)) / "f"
        try:
            shutil.copytree(base, folder, symlinks=True)
            ran = self.run(folder, command, **{fault: number})
            stderr = ran.stderr.decode(errors="replace")
            if "panicked" in stderr or ran.returncode not in (0, 1, -9):
                return "wrong", f"ends with {ran.returncode}: {stderr[-400:]}"
            answers = [self.answer(folder, probe) for probe in probes]
            kinds = {kind for kind, _ in answers}
            # A folder answers with one state as a whole, or is refused.
            if answers == new:
                state = "new"
            elif answers == old and "answer" in kinds:
                state = "old"
            elif kinds == {"refused"}:
                state = "refused"
            elif "wrong" not in kinds and all(a in (o, n) or a[0] == "refused" for a, o, n in zip(answers, old, new)):
                of_old = any(a == o != n for a, o, n in zip(answers, old, new) if a[0] == "answer")
                of_new = any(a == n != o for a, o, n in zip(answers, old, new) if a[0] == "answer")
                state = "wrong" if of_old and of_new else "refused"
            else:
                state = "wrong"
            if state == "wrong":
                return state, f"answers {answers}"
            if ran.returncode == 0 and answers != new:
                return "wrong", f"ended with 0 but answers {answers}"
            again = self.run(folder, command)
            is_done = state == "new" and b"--overwrite" in again.stderr
            if again.returncode != 0 and not is_done:
                return state, f"the same command again: {again.stderr.decode(errors='replace')[-400:]}"
            answers = [self.answer(folder, probe) for probe in probes]
            if answers != new:
                return state, f"the same command again answers {answers}"
            left = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.endswith(".tmp") or p.name in MARKS]
            if left:
                return state, f"left over: {left}"
            if "report" not in command and command.startswith(("pretrain", "finetune")) and not (folder / "out/report.html").exists():
                return state, "no report"
            return state, None
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)


MARKS = ["cloze.lock", "cloze.unfinished"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cloze", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[""])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        sweep = Sweep(arguments.cloze, arguments.library, Path(root))
        world = sweep.world()
        runs = faults = 0
        for name in COMMANDS:
            if any(name.startswith(wanted) for wanted in arguments.only):
                more = sweep.command(world, name, arguments.points, arguments.jobs)
                runs, faults = runs + more[0], faults + more[1]
    print(f"{runs} runs, {faults} faults")
    sys.exit(1 if faults or not runs else 0)


if __name__ == "__main__":
    main()
