"""Fine-tunes with transformers and PyTorch as `cloze finetune` does, and prints the metrics on the dev set as a line of
JSON: what to set Cloze's own results beside.

    python finetuned_by_transformers.py classification --model MiniLM --train train.tsv --dev dev.tsv --columns text=3,label=1
    python finetuned_by_transformers.py tokens --model MiniLM --train train.conll --dev dev.conll --epochs 5
    python finetuned_by_transformers.py qa --model MiniLM --train train.json --dev dev.json --max-length 384

AdamW (bias-corrected, eps 1e-8, decay 0.01 not on biases and LayerNorm), a rise of the rate over 10 % of the steps, then
linear to 0, clip 1.0, dropout as the model's configuration says; batches go through the model in parts of rows of
about the same length, padded to the longest of the part: the same sums with less padding. Only the loss of answers
depends on it: transformers lets padding take part in the softmax of starts and ends.
"""

import argparse
import collections
import json
import math
import random
import re
import string

import numpy
import torch
from transformers import (
    AutoTokenizer,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    get_linear_schedule_with_warmup,
)

RECOGNISED = {
    "text": ["text", "text_a", "sentence", "sentence1", "#1 String"],
    "text_b": ["text_b", "sentence2", "#2 String"],
    "label": ["label", "Quality", "score"],
}


def read_rows(path, columns):
    """[(text, text_b or None, label)] of a TSV file; columns by number mean that it has no header."""
    lines = open(path, encoding="utf-8-sig").read().rstrip("\n").split("\n")
    given = dict(pair.split("=", 1) for pair in columns.split(",")) if columns else {}
    if given and all(place.isdigit() for place in given.values()):
        places = [int(given[role]) if role in given else None for role in RECOGNISED]
    else:
        header = lines.pop(0).rstrip("\r").split("\t")
        places = []
        for role, recognised in RECOGNISED.items():
            names = [given[role]] if role in given else [name for name in recognised if name in header]
            places.append(header.index(names[0]) if names else None)
    split = [line.rstrip("\r").split("\t") for line in lines]
    return [[None if place is None else fields[place] for place in places] for fields in split]


def length_of(item):
    """Roughly: rows of about the same length go through the model together, which saves padding and changes no sum."""
    if isinstance(item[1], list):
        return sum(map(len, item[0])) if isinstance(item[0], list) else len(item[1])
    return len(item[0]) + len(item[1] or "")


def labelled(batch):
    """How many terms the mean that is the loss of a batch has."""
    if "labels" not in batch:
        return len(batch["input_ids"])
    return int((batch["labels"] != -100).sum()) if batch["labels"].dim() == 2 else len(batch["labels"])


def train(model, items, batch_of, arguments):
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        (others if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, eps=1e-8, fused=True)
    size = arguments.batch_size
    steps = math.ceil(len(items) / size) * arguments.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(arguments.warmup * steps), steps)
    model.train()
    for _ in range(arguments.epochs):
        random.shuffle(items)
        for first in range(0, len(items), size):
            batch = sorted(items[first : first + size], key=length_of)
            parts = [batch_of(batch[at : at + arguments.rows]) for at in range(0, len(batch), arguments.rows)]
            weights = [labelled(part) for part in parts]
            optimizer.zero_grad()
            for part, weight in zip(parts, weights):
                (model(**part).loss * (weight / sum(weights))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()


def texts(arguments, tokenizer):
    """Classification and regression."""
    rows, dev = read_rows(arguments.train, arguments.columns), read_rows(arguments.dev, arguments.columns)
    regression = arguments.task == "regression"
    names = ["value"] if regression else sorted({row[2] for row in rows})

    def batch_of(rows):
        first, second, labels = zip(*rows)
        inputs = tokenizer(
            list(first), None if second[0] is None else list(second), truncation="longest_first",
            max_length=arguments.max_length, padding="longest", return_tensors="pt",
        )  # fmt: skip
        labels = [float(label) for label in labels] if regression else [names.index(label) for label in labels]
        return dict(inputs, labels=torch.tensor(labels))

    problem = "regression" if regression else "single_label_classification"
    model = BertForSequenceClassification.from_pretrained(
        arguments.model, num_labels=len(names), problem_type=problem, dtype=torch.float32
    )
    train(model, rows, batch_of, arguments)
    logits, gold = [], []
    with torch.inference_mode():
        for first in range(0, len(dev), 32):
            batch = batch_of(dev[first : first + 32])
            gold += batch.pop("labels").tolist()
            logits.append(model(**batch).logits.numpy())
    logits, gold = numpy.concatenate(logits), numpy.array(gold)
    if regression:
        from scipy.stats import pearsonr, spearmanr

        return {"pearson": float(pearsonr(logits[:, 0], gold)[0]), "spearman": float(spearmanr(logits[:, 0], gold)[0])}
    from sklearn.metrics import f1_score, matthews_corrcoef

    guessed = logits.argmax(axis=1)
    metrics = {"accuracy": float((guessed == gold).mean())}
    metrics["matthews_correlation"] = float(matthews_corrcoef(gold, guessed))
    if len(names) == 2:
        metrics["f1"] = float(f1_score(gold, guessed))
    return metrics


def words(arguments, tokenizer):
    """Labels of words, each at its first token."""
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    def read(path):
        blocks = re.split(r"\n\s*\n", open(path, encoding="utf-8").read().strip("\n"))
        split = [[line.split("\t") for line in block.split("\n") if line.strip()] for block in blocks]
        return [([fields[0] for fields in block], [fields[-1] for fields in block]) for block in split if block]

    rows, dev = read(arguments.train), read(arguments.dev)
    names = sorted({label for _, labels in rows for label in labels})

    def batch_of(rows):
        inputs = tokenizer(
            [words for words, _ in rows], is_split_into_words=True, truncation=True,
            max_length=arguments.max_length, padding="longest", return_tensors="pt",
        )  # fmt: skip
        labels = torch.full(inputs["input_ids"].shape, -100)
        for row, (_, own) in enumerate(rows):
            last = None
            for position, word in enumerate(inputs.word_ids(row)):
                if word is not None and word != last:
                    labels[row, position] = names.index(own[word])
                last = word
        return dict(inputs, labels=labels)

    model = BertForTokenClassification.from_pretrained(arguments.model, num_labels=len(names), dtype=torch.float32)
    train(model, rows, batch_of, arguments)
    guessed, gold = [], []
    with torch.inference_mode():
        for first in range(0, len(dev), 32):
            batch = batch_of(dev[first : first + 32])
            labels = batch.pop("labels")
            best = model(**batch).logits.argmax(dim=2)
            for row, (_, own) in enumerate(dev[first : first + 32]):
                found = [names[best[row, at]] for at in range(best.shape[1]) if labels[row, at] != -100]
                guessed.append(found + ["O"] * (len(own) - len(found)))
                gold.append(own)
    return {
        "f1": f1_score(gold, guessed),
        "f1_strict": f1_score(gold, guessed, mode="strict", scheme=IOB2),
    }


def questions(arguments, tokenizer):
    """Answers to questions, with the windows and the choice of answers of transformers' `run_qa`."""

    def read(path):
        data = json.load(open(path, encoding="utf-8"))["data"]
        paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
        return [(qa, paragraph["context"]) for paragraph in paragraphs for qa in paragraph["qas"]]

    def windows(pairs):
        inputs = tokenizer(
            [qa["question"].lstrip() for qa, _ in pairs], [context for _, context in pairs], truncation="only_second",
            max_length=arguments.max_length, stride=128, return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        items = []
        for index, owner in enumerate(inputs["overflow_to_sample_mapping"]):
            kinds = inputs.sequence_ids(index)
            offsets = [at if kind == 1 else None for at, kind in zip(inputs["offset_mapping"][index], kinds)]
            items.append((owner, inputs["input_ids"][index], inputs["token_type_ids"][index], offsets))
        return items

    def batch_of(items):
        columns = {"input_ids": [item[1] for item in items], "token_type_ids": [item[2] for item in items]}
        batch = dict(tokenizer.pad(columns, return_tensors="pt"))
        if len(items[0]) > 4:
            batch["start_positions"] = torch.tensor([item[4] for item in items])
            batch["end_positions"] = torch.tensor([item[5] for item in items])
        return batch

    pairs, dev = read(arguments.train), read(arguments.dev)
    items = []
    for owner, ids, kinds, offsets in windows(pairs):
        start = end = 0
        if pairs[owner][0]["answers"]:
            answer = pairs[owner][0]["answers"][0]
            first, last = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            own = [at for at, span in enumerate(offsets) if span]
            if own and offsets[own[0]][0] <= first and offsets[own[-1]][1] >= last:
                start = max(at for at in own if offsets[at][0] <= first)
                end = min(at for at in own if offsets[at][1] >= last)
        items.append((owner, ids, kinds, offsets, start, end))
    model = BertForQuestionAnswering.from_pretrained(arguments.model, dtype=torch.float32)
    train(model, items, batch_of, arguments)

    best = [[] for _ in dev]
    null = [math.inf] * len(dev)
    items = windows(dev)
    with torch.inference_mode():
        for first in range(0, len(items), 16):
            chunk = items[first : first + 16]
            output = model(**batch_of(chunk))
            for row, (owner, ids, _, offsets) in enumerate(chunk):
                starts, ends = (x[row, : len(ids)].numpy() for x in (output.start_logits, output.end_logits))
                null[owner] = min(null[owner], float(starts[0] + ends[0]))
                for start in numpy.argsort(-starts)[:20]:
                    for end in numpy.argsort(-ends)[:20]:
                        if offsets[start] and offsets[end] and 0 <= end - start < 30:
                            chars = dev[owner][1][offsets[start][0] : offsets[end][1]]
                            best[owner].append((float(starts[start] + ends[end]), chars))

    def normal(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1(guess, gold):
        a, b = normal(guess).split(), normal(gold).split()
        common = sum((collections.Counter(a) & collections.Counter(b)).values())
        return 2 * common / (len(a) + len(b)) if common else float(a == b)

    guesses = [max(found)[1] if found else "" for found in best]
    golds = [[answer["text"] for answer in qa["answers"]] or [""] for qa, _ in dev]
    exact = [max(float(normal(guess) == normal(gold)) for gold in own) for guess, own in zip(guesses, golds)]
    f1s = [max(f1(guess, gold) for gold in own) for guess, own in zip(guesses, golds)]
    return {"exact_match": float(numpy.mean(exact)), "f1": float(numpy.mean(f1s))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["classification", "regression", "tokens", "qa"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--columns")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--rows", type=int, default=8, help="rows that go through the model at once")
    parser.add_argument("--warmup", type=float, default=0.1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    kinds = {"classification": texts, "regression": texts, "tokens": words, "qa": questions}
    print(json.dumps({"seed": arguments.seed, **kinds[arguments.task](arguments, tokenizer)}))


if __name__ == "__main__":
    main()
