"""Makes squad_metrics.json, squad_alignment.json and squad_spans.json: what the official scripts of SQuAD and BERT say.

    python make_squad_fixtures.py evaluate-v1.1.py evaluate-v2.0.py BERT crates/cloze/tests/fixtures

The first two are SQuAD's scripts (github.com/rajpurkar/SQuAD-explorer), BERT is a folder with Google's run_squad.py
and tokenization.py (github.com/google-research/bert), which need the package six. Of TensorFlow nothing is used. All
texts are made up. Sums of F1 are those of Python before 3.12, which adds numbers one after the other.

In squad_spans.json, run_squad.py cuts answers out of the context by the offsets of tokens; its own way back from
tokens to text, which is a search, is replaced.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import random
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

from tokenizers import BertWordPieceTokenizer

WORDS = [
    "Zoë", "naïve", "ΣΊΣΥΦΟΣ", "ΟΔΟΣ", "İstanbul", "straße", "東京", "а", "a", "an", "the", "The", "THE", "A", "An",
    "U.S.", "don't", "1,234.5", "—", "…", "¿Qué?", "an-", "the_", "_a_", "a1", "à", "e\u0301", "a\u0301", "\u200b",
    "“quoted”", "Ⅷ", "½", "²", "theory", "banana", "cat", "Dog", "sat", "mat", "(1895-1943)", "$5", "50%", "x",
]
SPACES = [" ", " ", " ", " ", "  ", "\n", "\t", "-", "", "\u00a0", "\u001c", "\u001f", "\u3000", "\u2028", "\u0085"]
NOTHING = ["...", "the", "A!", "\"\"", " ", "a an the", "-", "\u00a0", ""]
VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat on mat zoe in town ##s ##ting un ##aff ##able , . ( ) - 18 ##95 "
    "##43 19 who where did it 東 京 naive ' s japan ##ese"
).split(" ")


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def phrase(rng, words):
    text = "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(words))
    return text if rng.random() < 0.3 else text.strip()


def perturbed(rng, text, others):
    words = text.split(" ")
    change = rng.randrange(9)
    if change == 0:
        return text.upper()
    if change == 1:
        return f"The {text}!"
    if change == 2:
        return " ".join(words[1:])
    if change == 3:
        return f"{text} {rng.choice(WORDS)}"
    if change == 4:
        rng.shuffle(words)
        return " ".join(words)
    if change == 5:
        return rng.choice(others)
    if change == 6:
        return rng.choice(NOTHING)
    if change == 7:
        return ""
    return text


def dataset(questions):
    qas = [{"id": q["id"], "answers": [{"text": text} for text in q["answers"]]} for q in questions]
    return [{"paragraphs": [{"qas": qas}]}]


def run_v2(script, questions, folder, odds=False, threshold=1.0):
    paths = [folder / name for name in ("data.json", "predictions.json", "odds.json", "result.json")]
    paths[0].write_text(json.dumps({"data": dataset(questions)}))
    paths[1].write_text(json.dumps({q["id"]: q["prediction"] for q in questions}))
    paths[2].write_text(json.dumps({q["id"]: q["odds"] for q in questions}))
    script.OPTS = SimpleNamespace(
        data_file=paths[0], pred_file=paths[1], na_prob_file=paths[2] if odds else None, na_prob_thresh=threshold,
        out_file=paths[3], out_image_dir=None,
    )
    script.main()
    return json.loads(paths[3].read_text())


def make_metrics(v1, v2, folder):
    rng = random.Random(1)
    pool = [phrase(rng, rng.randint(1, 6)) for _ in range(400)] + NOTHING
    questions = []
    for number in range(260):
        answers = [rng.choice(pool) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        prediction = perturbed(rng, rng.choice(answers), pool) if answers else rng.choice(["", "", rng.choice(pool)])
        odds = rng.randint(-40, 40) / 4 if rng.random() < 0.5 else rng.uniform(-10, 10)
        questions.append({"id": f"q{number}", "answers": answers, "prediction": prediction, "odds": odds})
    for q in questions:
        exact, f1 = v2.get_raw_scores(dataset([q]), {q["id"]: q["prediction"]})
        q["scores"] = [100.0 * exact[q["id"]], 100.0 * f1[q["id"]]]
        if q["answers"]:
            result = v1.evaluate(dataset([q]), {q["id"]: q["prediction"]})
            q["scores"] += [result["exact_match"], result["f1"]]
    answerable = [q for q in questions if q["answers"]]
    impossible = [q for q in questions if not q["answers"]]
    predictions = {q["id"]: q["prediction"] for q in questions}
    half = {name: text for name, text in predictions.items() if int(name[1:]) % 2 == 0}
    results = {
        "v1": v1.evaluate(dataset(answerable), predictions),
        "v1_half_predicted": v1.evaluate(dataset(answerable), half),
        "v2": run_v2(v2, questions, folder),
        "v2_odds": run_v2(v2, questions, folder, odds=True),
        "v2_odds_at_-2.5": run_v2(v2, questions, folder, odds=True, threshold=-2.5),
        "v2_odds_answerable": run_v2(v2, answerable, folder, odds=True),
        "v2_odds_impossible": run_v2(v2, impossible, folder, odds=True),
    }
    texts = WORDS + NOTHING + [phrase(rng, 3) for _ in range(60)]
    normalized = [[text, v2.normalize_answer(text)] for text in texts]
    return {"normalized": normalized, "questions": questions, "results": results}


def with_all_digits(value):
    """Numbers as text: not every reader of JSON gets the last digit right."""
    if isinstance(value, dict):
        return {name: with_all_digits(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_all_digits(item) for item in value]
    return value if isinstance(value, str) else repr(value)


def squad_file(folder, context, question, answer, start):
    qas = [{"id": "q", "question": question, "answers": [{"text": answer, "answer_start": start}]}]
    path = folder / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    return path


def make_alignment(squad, folder):
    rng = random.Random(2)
    squad.FLAGS = SimpleNamespace(version_2_with_negative=False)
    cases = []
    while len(cases) < 220:
        words = [rng.choice(["one", "two", "two-three", "Zoë's", "(4)", "5."]) for _ in range(9)]
        context = "".join(word + rng.choice([" ", " ", "  ", "\n", "\u202f"]) for word in words)
        start = rng.randrange(len(context) - 8)
        answer = context[start:start + rng.randint(1, 14)]
        change = rng.randrange(4)
        if change == 0:
            answer = " ".join(answer.split())
        elif change == 1:
            answer = answer.replace(" ", "\u00a0")
        elif change == 2:
            answer = answer.replace(rng.choice(answer), rng.choice("otx "), 1)
        start = max(0, start + rng.choice([0, 0, -1, 1, 2, -4, 5, 9]))
        if not answer.strip() or start >= len(context):
            continue
        try:
            kept = len(squad.read_squad_examples(squad_file(folder, context, "?", answer, start), True)) == 1
        except IndexError:
            kept = False
        cases.append({"context": context, "answer": answer, "start": start, "kept": kept})
    return cases


def logits(seed, window, tokens, which):
    """Numbers that look random, with ties, and can be made anywhere."""
    numbers = [seed * 7919 + window * 104729 + position * 31 + which * 17 for position in range(tokens)]
    return [(number * 2654435761 % 2**32 >> 25) / 8 - 8 for number in numbers]


TANGLED = "(1895-1943), Zoë   sitting\non the\tmat; un-naïve 東京 unaffable cats,"
CASES = [
    # Context, answer, its occurrence; max_seq, max_query, advance; n_best, max_answer, null threshold.
    ("The cat sat on the mat. Zoë's dog sat in town.", "on the mat", (16, 4, 3), (20, 30, None)),
    ("The cat sat on the mat. Zoë's dog sat in town.", "Zoë", (16, 4, 3), (20, 30, 0.0)),
    ("The cat sat on the mat. Zoë's dog sat in town.", "town", (64, 8, 12), (5, 3, None)),
    (TANGLED, "1895", (18, 9, 4), (6, 4, 2.5)),
    (TANGLED, "naïve 東京", (12, 2, 50), (20, 30, -9.0)),
    (TANGLED, "1943), Zoë   sitting", (14, 3, 1), (4, 6, 4.0)),
    ("Japanese cat", "Japan", (11, 4, 2), (20, 30, 0.0)),
    ("the cat the cat the cat the cat the cat the cat the cat the cat", "cat", (12, 2, 3), (6, 5, 30.0)),
    ("dog", "dog", (16, 4, 3), (20, 1, 0.0)),
]
QUESTION = "Where did the cat, unaffable, sit?"


def make_spans(squad, tokenization, folder):
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(VOCABULARY) + "\n")
    google = tokenization.FullTokenizer(str(vocabulary), do_lower_case=True)
    offsets_of = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    cases = []
    for seed, (context, answer, (max_seq, max_query, advance), (n_best, max_answer, threshold)) in enumerate(CASES, 1):
        squad.FLAGS = SimpleNamespace(version_2_with_negative=False)
        start = context.index(answer)
        examples = squad.read_squad_examples(squad_file(folder, context, QUESTION, answer, start), True)
        features = []
        squad.convert_examples_to_features(examples, google, max_seq, advance, max_query, True, features.append)
        encoding = offsets_of.encode(context, add_special_tokens=False)
        query = min(max_query, len(google.tokenize(QUESTION)))
        size = max_seq - query - 3

        def cut(feature, first, last):
            begin = feature.doc_span_index * min(advance, size) - query - 2
            assert encoding.tokens[begin + first:begin + last + 1] == feature.tokens[first:last + 1]
            return context[encoding.offsets[begin + first][0]:encoding.offsets[begin + last][1]]

        squad.cut = cut
        windows, results = [], []
        for index, feature in enumerate(features):
            tokens = len(feature.tokens)
            windows.append({
                "ids": feature.input_ids[:tokens],
                "token_type_ids": feature.segment_ids[:tokens],
                "most_context": [feature.token_is_max_context.get(at) for at in range(tokens)],
                "target": [feature.start_position, feature.end_position],
            })
            pair = [logits(seed, index, tokens, which) for which in (0, 1)]
            results.append(squad.RawResult(feature.unique_id, *pair))
        v2 = threshold is not None
        squad.FLAGS = SimpleNamespace(version_2_with_negative=v2, null_score_diff_threshold=threshold)
        paths = [folder / name for name in ("predictions.json", "nbest.json", "odds.json")]
        squad.write_predictions(examples, features, results, n_best, max_answer, True, *paths)
        read = [json.loads(path.read_text()) for path in (paths if v2 else paths[:2])]
        cases.append({
            "question": QUESTION, "context": context, "answer": answer, "start": start,
            "max_seq_length": max_seq, "max_query_length": max_query, "advance": advance,
            "n_best": n_best, "max_answer_length": max_answer, "null_threshold": threshold,
            "windows": windows, "prediction": read[0]["q"], "nbest": read[1]["q"],
            "null_odds": read[2]["q"] if v2 else None,
        })
    return {"vocabulary": VOCABULARY, "cases": cases}


def load_google(folder):
    """run_squad.py, with the offsets' way from tokens to text."""
    tensorflow = MagicMock()
    tensorflow.gfile.Open = tensorflow.gfile.GFile = open
    sys.modules.update({"tensorflow": tensorflow, "modeling": MagicMock(), "optimization": MagicMock()})
    tokenization = load(folder / "tokenization.py", "tokenization")
    own = "final_text = get_final_text(tok_text, orig_text, do_lower_case)"
    by_offsets = "final_text = cut(feature, pred.start_index, pred.end_index)"
    source = (folder / "run_squad.py").read_text()
    assert source.count(own) == 1
    with tempfile.TemporaryDirectory() as patched:
        path = Path(patched) / "run_squad.py"
        path.write_text(source.replace(own, by_offsets))
        return load(path, "run_squad"), tokenization


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("evaluate_v1", type=Path)
    parser.add_argument("evaluate_v2", type=Path)
    parser.add_argument("bert", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    v1, v2 = load(arguments.evaluate_v1, "evaluate_v1"), load(arguments.evaluate_v2, "evaluate_v2")
    squad, tokenization = load_google(arguments.bert)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(folder)
        fixtures = {
            "squad_metrics": with_all_digits(make_metrics(v1, v2, folder)),
            "squad_alignment": make_alignment(squad, folder),
            "squad_spans": make_spans(squad, tokenization, folder),
        }
    for name, fixture in fixtures.items():
        path = arguments.output / f"{name}.json"
        path.write_text(json.dumps(fixture, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
