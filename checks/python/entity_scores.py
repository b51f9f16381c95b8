"""Makes entity_scores.json: seqeval's figures for predicted labels, by default and in strict mode.

    python entity_scores.py crates/cloze/tests/fixtures/entity_scores.json [--cases N] [--seed N] \
        [--conlleval conlleval.pl]

A case is a few sentences in one scheme. Gold labels are valid or random; predictions are the gold labels with some
replaced, or random. Figures are [precision, recall, f1, support]. IO is IOB1 without B. "default" is null where seqeval
does not know the prefixes (L, U). Where no type occurs, seqeval's means are NaN; 0 is written. "suffix" is IOB1, IOB2
or IOBES written as X-B. seqeval scores BMES as IOBES, with I for M; where gold labels and predictions are valid, its
default mode must give the same with M.

With --conlleval, the Perl script of CoNLL-2000 is run on every case of IOB1, IOB2 and IO, and must print the same.
"""

import argparse
import json
import random
import re
import subprocess
import warnings
from pathlib import Path

from seqeval import scheme as schemes
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as default_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores

KINDS = ["X", "Y", "a-b"]
PREFIXES = {"IOB1": "IIB", "IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU", "IO": "I", "IOE2": "IIE", "BMES": "BMES"}
NAMES = ["precision", "recall", "FB1"]


def valid(scheme, length):
    labels, last = [], None
    while len(labels) < length:
        if random.random() < 0.4:
            labels, last = labels + ["O"], None
            continue
        kind, words = random.choice(KINDS), random.randint(1, 3)
        letters = {
            "IOB1": ("B" if last == kind else "I") + "I" * (words - 1),
            "IOB2": "B" + "I" * (words - 1),
            "IO": "I" * words,
            "IOBES": "S" if words == 1 else "B" + "I" * (words - 2) + "E",
            "BILOU": "U" if words == 1 else "B" + "I" * (words - 2) + "L",
            "BMES": "S" if words == 1 else "B" + "M" * (words - 2) + "E",
            "IOE2": "I" * (words - 1) + "E",
        }[scheme]
        labels, last = labels + [f"{letter}-{kind}" for letter in letters], kind
    return labels[:length]


def is_valid(labels):
    """Whether labels in BMES follow their scheme."""
    places = ["O", *labels, "O"]
    pairs = [(before[0], after[0], before[2:] == after[2:]) for before, after in zip(places, places[1:])]
    return all((before in "BM") == (after in "ME") and (before not in "BM" or same) for before, after, same in pairs)


def any_label(scheme):
    return "O" if random.random() < 0.25 else f"{random.choice(PREFIXES[scheme])}-{random.choice(KINDS)}"


def sentence(scheme):
    length = random.randint(1, 9)
    gold = valid(scheme, length) if random.random() < 0.7 else [any_label(scheme) for _ in range(length)]
    change = random.choice([0.0, 0.1, 0.3, 1.0])
    return gold, [any_label(scheme) if random.random() < change else label for label in gold]


def with_suffix(sentences):
    return [[label if label == "O" else f"{label[2:]}-{label[0]}" for label in labels] for labels in sentences]


def with_inside(sentences):
    return [["I" + label[1:] if label[0] == "M" else label for label in labels] for labels in sentences]


def figures(scores, kinds, **options):
    def rows(average):
        return scores(gold, predictions, average=average, zero_division=0, **options)

    gold, predictions = kinds
    listed = [[float(value) for value in row] for row in rows(None)]
    names = sorted({name for labels in (gold, predictions) for name in types(labels, options)})
    assert len(names) == len(listed[0])
    return {
        "micro": [float(value) for value in rows("micro")],
        "macro": [float(value) for value in rows("macro")] if names else [0.0] * 4,
        "kinds": {name: list(row) for name, row in zip(names, zip(*listed))},
    }


def types(sentences, options):
    if "scheme" in options:
        return schemes.Entities(sentences, **options).unique_tags
    from seqeval.metrics.sequence_labeling import get_entities

    return {kind for kind, _, _ in get_entities(sentences, **options)}


def check_conlleval(script, case):
    lines = []
    for gold, predictions in zip(case["gold"], case["predictions"]):
        lines += [f"w {g} {p}" for g, p in zip(gold.split(), predictions.split())] + [""]
    answer = subprocess.run(["perl", script], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    printed = [[float(figure) for figure in re.findall(r": +([0-9.]+)", line)] for line in answer.stdout.splitlines()]
    names = re.findall(r"^ *(\S+): precision", answer.stdout, re.M)
    scores = case["default"]
    kinds = sorted(scores["kinds"].items())
    assert names == [name for name, _ in kinds], (names, kinds)
    expected = [[case["accuracy"], *scores["micro"][:3]]] + [row[:3] for _, row in kinds]
    for found, row in zip(printed[1:], expected, strict=True):
        assert len(found) == len(row) and all(abs(f - 100 * e) < 0.0051 for f, e in zip(found, row)), (found, row, case)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--cases", type=int, default=126)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conlleval")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(arguments.seed)
    cases = []
    for index in range(arguments.cases):
        name = list(PREFIXES)[index % len(PREFIXES)]
        pairs = [sentence(name) for _ in range(random.randint(1, 7))]
        gold, predictions = [gold for gold, _ in pairs], [labels for _, labels in pairs]
        suffix = name in ("IOB1", "IOB2", "IOBES") and index // len(PREFIXES) % 3 == 2
        if suffix:
            gold, predictions = with_suffix(gold), with_suffix(predictions)
        scheme = getattr(schemes, {"IO": "IOB1", "BMES": "IOBES"}.get(name, name))
        read = (with_inside(gold), with_inside(predictions))
        case = {
            "scheme": name,
            "suffix": suffix,
            "gold": [" ".join(labels) for labels in gold],
            "predictions": [" ".join(labels) for labels in predictions],
            "accuracy": accuracy_score(gold, predictions),
            "default": None if name == "BILOU" else figures(default_scores, read, suffix=suffix),
            "strict": figures(strict_scores, read, scheme=scheme, suffix=suffix),
        }
        # In valid labels both modes find the same, and M needs no translation.
        if name == "BMES" and case["default"] == case["strict"] and all(map(is_valid, gold + predictions)):
            assert figures(default_scores, (gold, predictions), suffix=False) == case["default"], case
        if arguments.conlleval and name in ("IOB1", "IOB2", "IO") and not suffix:
            check_conlleval(arguments.conlleval, case)
        cases.append(case)
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    arguments.output.write_text(f"[\n{rows}\n]\n")
    print(f"{sum(len(case['gold']) for case in cases)} sentences in {len(cases)} cases")


if __name__ == "__main__":
    main()
