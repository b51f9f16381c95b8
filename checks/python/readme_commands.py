"""Runs the commands of README.md and of the guide as a reader types them, on small files of the names that they have.

    python readme_commands.py CLOZE FOLDER

CLOZE is the program; everything is written to FOLDER, which must not exist. Blocks of code marked `sh` are run in their
order in one folder, with `cloze` on the PATH. Times of trainings are cut to 15 seconds. Blocks that are not run stand in
NOT_RUN with the reason; a block that begins otherwise must end with exit code 0.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# First line of a block: why it is not run.
NOT_RUN = {
    "cargo run --release -- quickstart": "the stage quickstart of .ci/run runs it",
    "cargo test --workspace": "the stage tests of .ci/run runs it",
}
# What a block does in less time here.
SHORTER = [(r"--time \S+", "--time 15s")]
SECONDS_OF_BLOCK = 120

PEOPLE = "Ann Bob Clara Ada Peter Lee".split()
PLACES = "Oslo Lima Carlow Bergen Quito Turin".split()
THINGS = "milk horse anchor rope sail barn syrup clinic meadow report".split()
VERBS = "saw fed bought carried found left lost".split()
GOOD, BAD = "good fine great fresh".split(), "bad sour poor stale".split()


def sentence(draw):
    who, thing = draw.choice(PEOPLE), draw.choice(THINGS)
    return f"{who} {draw.choice(VERBS)} the {draw.choice(GOOD + BAD)} {thing} in {draw.choice(PLACES)}."


def text(draw, documents=30):
    document = lambda: "\n".join(sentence(draw) for _ in range(12))
    return "\n\n".join(document() for _ in range(documents)) + "\n"


def table(draw):
    def row(at):
        word = draw.choice([GOOD, BAD][at % 2])
        return f"The {draw.choice(THINGS)} was {word}.\t{['pos', 'neg'][at % 2]}\n"

    return "text\tlabel\n" + "".join(row(at) for at in range(60))


def questions(draw):
    def paragraph(at):
        who, day = draw.choice(PEOPLE), draw.choice("Monday Friday Sunday".split())
        context = f"On {day} {who} came late."
        answered = {"id": f"a{at}", "question": "Who came late?", "is_impossible": False}
        answered["answers"] = [{"text": who, "answer_start": context.index(who)}]
        other = {"id": f"b{at}", "question": "Who came early?", "is_impossible": True, "answers": []}
        return {"context": context, "qas": [answered, other]}

    return json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": [paragraph(at) for at in range(20)]}]})


def words(draw):
    def lines(_):
        who, where = draw.choice(PEOPLE), draw.choice(PLACES)
        return f"{who} B-PER\nlives O\nin O\n{where} B-LOC\n. O\n"

    return "\n".join(lines(at) for at in range(40))


def make_files(folder):
    """Files of the names that the documents use."""
    draw = random.Random(1)
    files = {f"{name}/{part}.txt": text(draw) for name in ["books", "corpus", "reports"] for part in ["one", "two"]}
    for part in ["train", "dev"]:
        files |= {f"{part}.tsv": table(draw), f"{part}.conll": words(draw), f"{part}-v2.0.json": questions(draw)}
    files["sentences.txt"] = "It rained.\nThe milk was good.\n"
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents, encoding="utf-8")


def blocks():
    """File, line and commands of each block."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]:
        contents = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^```sh\n(.*?)^```$", contents, re.MULTILINE | re.DOTALL):
            line = contents.count("\n", 0, found.start()) + 2
            yield f"{path.relative_to(ROOT)}:{line}", found.group(1)


def main():
    program, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/cloze").symlink_to(program)
    make_files(folder)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    unused = set(NOT_RUN)
    faults = 0
    for place, commands in blocks():
        first = commands.splitlines()[0]
        if first in NOT_RUN:
            unused.discard(first)
            print(f"{place}: not run, {NOT_RUN[first]}")
            continue
        # A model from elsewhere, for which one of our own does.
        if (folder / "model").exists() and not (folder / "all-MiniLM-L6-v2").exists():
            shutil.copytree(folder / "model", folder / "all-MiniLM-L6-v2")
        for pattern, shorter in SHORTER:
            commands = re.sub(pattern, shorter, commands)
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        try:
            ran = subprocess.run(
                shell, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_OF_BLOCK
            )
            ending = "" if ran.returncode == 0 else f"exit code {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
        except subprocess.TimeoutExpired:
            ending = f"more than {SECONDS_OF_BLOCK} seconds"
        faults += bool(ending)
        print(f"{place}: {ending or 'done'}", flush=True)
    for first in sorted(unused):
        faults += 1
        print(f"no block begins with `{first}`: take it out of NOT_RUN")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
