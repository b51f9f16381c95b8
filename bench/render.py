"""Turns results into docs/benchmarks.md. By itself: `python bench/render.py RESULTS.json [OUTPUT.md]`."""

import json
import statistics
import sys
from pathlib import Path

PRECISIONS = ["f32", "bf16", "int8"]
CLOZE = "Cloze"
LENGTHS = Path(__file__).with_name("lengths.json")
ABSENT = "–"

HEAD = """# Benchmarks

Written by `bench/run`. [bench/README.md](../bench/README.md) says how to repeat it, what runs and how it is measured.
All contenders of a table took turns on one machine, with the same weights, ids and number of threads. Figures are
medians over rounds.
"""

FORWARD_HEAD = """
## Forward, BERT-{size}

All hidden states of the last layer, and the pooler. A column is a batch, sequences × tokens. *Real lengths* are 32
sequences of 16 to 94 tokens, {tokens} in all: Cloze computes them as they are, others padded to the longest, or sorted
into four buckets, each padded to its longest.

Time of Cloze divided by that of the fastest other program of the same precision (below 1, Cloze is faster):
"""

TRAIN_HEAD = """
## A step of pre-training

Masked language model and next sentence prediction, dropout, 15 % masked, backward, clipping, AdamW. Others compute the
logits of masked rows only, as Cloze does (*masked rows*), or of all, as transformers does unasked (*all logits*). bf16
of PyTorch is autocast. Real lengths are padded by others.

Time of Cloze divided by that of the fastest other program of the same precision:
"""

START_HEAD = """
## Start

From the start of the process to its answer: a class for one sentence of some 25 tokens, with a BERT-{size} whose files
are in the system's cache.

"""


def document(results):
    parts = [HEAD, machine(results["machine"])]
    if "forward" in results:
        parts.append(section(results["forward"], forward_head(results["forward"]), forward_tables))
    if "train" in results:
        parts.append(section(results["train"], TRAIN_HEAD, train_tables))
    if "start" in results:
        parts.append(start(results["start"]["start"]))
    if "tokenizer" in results:
        parts.append(tokenizer(results["tokenizer"]["tokenizer"]))
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def machine(described):
    packages = ", ".join(f"{name} {version}" for name, version in described["packages"].items())
    rows = [
        ["processor", described["processor"]],
        ["instructions", described["instructions"]],
        ["cores, threads used", f"{described['cores']}, {described['threads']}"],
        ["memory", f"{described['memory_gib']} GiB"],
        ["system", described["system"]],
        ["Cloze", f"{described['cloze']}; {described['rustc']}"],
        ["beside it", f"Python {described['python']}, {packages}"],
    ]
    return table(["machine", ""], rows)


def forward_head(forward):
    first = next(iter(forward.values()))
    return FORWARD_HEAD.format(size=first["size"], tokens=sum(json.loads(LENGTHS.read_text())))


def section(content, head, tables):
    precisions = [precision for precision in PRECISIONS if precision in content]
    shapes = list(dict.fromkeys(shape for precision in precisions for shape in content[precision]["shapes"]))
    rows = []
    for precision in precisions:
        found = content[precision]["shapes"]
        rows.append([precision, *(best_ratio(found[shape]) if shape in found else ABSENT for shape in shapes)])
    parts = [head, table(["", *shapes], rows)]
    for precision in precisions:
        one = content[precision]
        parts.append(f"### {precision}\n\nMeasured on {one['when']}, Cloze at {one['cloze'].split(', ')[-1]}, "
                     f"rounds: {one['rounds']}.\n")  # fmt: skip
        parts += tables(one["shapes"])
        notes = [f"- {note}" for note in [*one["notes"], *failures(one["shapes"])]]
        if notes:
            parts.append("\n".join(notes) + "\n")
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def best_ratio(shape):
    contenders = shape["contenders"]
    times = {name: milliseconds(entry) for name, entry in peers(contenders).items() if entry["rounds"]}
    if not times:
        return ABSENT
    best = min(times, key=times.get)
    value = ratio(contenders[best])
    return ABSENT if value is None else f"{value:.2f} ({best})"


def forward_tables(shapes):
    return [
        *common_tables(shapes),
        "Peak of memory, MB; of others while they ran, loading and compiling not counted:\n",
        grid(shapes, memory),
        "Seconds from the start of the process to the first result, and outputs beside PyTorch in f32: the largest\n"
        "difference of a number and the smallest cosine of a row, over all batches:\n",
        agreement_table(shapes),
    ]


def train_tables(shapes):
    return [*common_tables(shapes), "Peak of memory, MB:\n", grid(shapes, memory)]


def common_tables(shapes):
    ceilings = [f"{ceiling(shape):.0f}" for shape in shapes.values() if ceiling(shape)]
    return [
        "Milliseconds:\n",
        grid(shapes, lambda entry, shape: f"{milliseconds(entry):.3g}" if milliseconds(entry) < 100
             else f"{milliseconds(entry):.0f}"),
        "Time of Cloze divided by theirs, in the same round:\n",
        grid(shapes, lambda entry, shape: rounded(ratio(entry)), without=CLOZE),
        "Share of the peak of the vector units, counting operations for tokens that exist only. The peak was measured\n"
        f"by Cloze around each of its repetitions: {', '.join(ceilings) or ABSENT} Gflop/s.\n",
        grid(shapes, fraction),
    ]  # fmt: skip


def grid(shapes, cell, without=None):
    names = list(dict.fromkeys(name for shape in shapes.values() for name in shape["contenders"]))
    # Cloze first; the others in the order in which they were started.
    names = [name for name in sorted(names, key=place) if name != without]
    rows = []
    for name in names:
        entries = [(shape["contenders"].get(name), shape) for shape in shapes.values()]
        rows.append([name, *(cell(entry, shape) if entry and entry["rounds"] else ABSENT for entry, shape in entries)])
    return table(["", *shapes], rows)


def place(name):
    return 0 if name == CLOZE else 1 if name.startswith(CLOZE) else 2


def agreement_table(shapes):
    rows = {}
    for shape in shapes.values():
        for name, entry in shape["contenders"].items():
            row = rows.setdefault(name, {"first": None, "difference": [], "cosine": []})
            row["first"] = row["first"] or entry.get("first_result_seconds")
            for key in ("difference", "cosine"):
                if key in entry.get("check", {}):
                    row[key].append(entry["check"][key])
    cells = []
    for name, row in sorted(rows.items(), key=lambda item: place(item[0])):
        first = "see *Start*" if name == CLOZE else rounded(row["first"], ".1f")
        difference = f"{max(row['difference']):.1e}" if row["difference"] else ABSENT
        cosine = f"{min(row['cosine']):.6f}" if row["cosine"] else ABSENT
        cells.append([name, first, difference, cosine])
    return table(["", "first result", "difference", "cosine"], cells)


def start(content):
    rows = []
    for name, entry in content["contenders"].items():
        seconds = rounded(statistics.median(entry["seconds"]) if entry["seconds"] else None)
        rows.append([name, seconds, f"{entry['difference']:.1e}" if "difference" in entry else ABSENT])
    rendered = table(["", "seconds", "probabilities differ by"], rows)
    notes = [f"- {name}: {entry['note']}" for name, entry in content["contenders"].items() if "note" in entry]
    return START_HEAD.format(size=content["size"]) + rendered + "\n" + "\n".join(notes)


def tokenizer(content):
    return "## Tokenizer\n\n" + (f"```text\n{content['text']}```\n" if "text" in content else content["note"] + "\n")


def failures(shapes):
    """What went wrong, or does not agree, once for each contender and reason."""
    found = {}
    for name, shape in shapes.items():
        for contender, entry in shape["contenders"].items():
            checked = entry.get("check", {})
            texts = [entry["note"]] if "note" in entry else []
            texts += [f"outputs: {checked['error']}"] if "error" in checked else []
            texts += ["outputs differ more than the bound"] if checked.get("agrees") is False else []
            for text in texts:
                found.setdefault((contender, text), []).append(name)
    return [f"{contender}, {'; '.join(names)}: {text}" for (contender, text), names in found.items()]


def disagreements(results):
    """Outputs of Cloze itself that are not what they must be, and figures that are missing: the run has failed."""
    wrong = []
    for section_name in ("forward", "train"):
        for precision, content in results.get(section_name, {}).items():
            for text in failures(content["shapes"]):
                if text.startswith(CLOZE):
                    wrong.append(f"{section_name}, {precision}: {text}")
    for name, entry in results.get("start", {}).get("start", {"contenders": {}})["contenders"].items():
        if name.startswith(CLOZE) and ("note" in entry or entry.get("agrees") is False):
            wrong.append(f"start: {name}: {entry.get('note', 'the answer differs more than the bound')}")
    return wrong


def peers(contenders):
    return {name: entry for name, entry in contenders.items() if not name.startswith(CLOZE)}


def milliseconds(entry):
    return statistics.median(answer["milliseconds"] for answer in entry["rounds"])


def ratio(entry):
    ratios = [answer["cloze_milliseconds"] / answer["milliseconds"]
              for answer in entry["rounds"] if answer["cloze_milliseconds"]]  # fmt: skip
    return statistics.median(ratios) if ratios else None


def ceiling(shape):
    """Gflop/s that the machine does at most, as Cloze measured it beside its own times."""
    rounds = shape["contenders"].get(CLOZE, {"rounds": []})["rounds"]
    told = [answer for answer in rounds if answer.get("fraction_of_ceiling")]
    values = [answer["gflops"] / answer["fraction_of_ceiling"] for answer in told]
    return statistics.median(values) if values else None


def fraction(entry, shape):
    peak = ceiling(shape)
    if peak is None or shape["gflop"] is None:
        return ABSENT
    return f"{1e3 * shape['gflop'] / milliseconds(entry) / peak:.2f}"


def memory(entry, shape):
    return f"{statistics.median(answer['peak_rss_bytes'] for answer in entry['rounds']) / 1e6:,.0f}"


def rounded(value, form=".2f"):
    return ABSENT if value is None else format(value, form)


def table(head, rows):
    lines = [head, ["---"] + ["---:" if len(head) > 2 else "---"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    text = document(json.loads(Path(sys.argv[1]).read_text()))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)
    else:
        print(text, end="")
