"""Fine-tunes a classifier with transformers and PyTorch, with the settings of `cloze finetune`. See ../finetune.py."""

import argparse
import json
import math
import random
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup, logging

MAX_LENGTH, WARMUP, DECAY, EPSILON, CLIP = 128, 0.1, 0.01, 1e-8, 1.0
# Names that `cloze finetune` recognises, too.
RECOGNISED = {
    "text": ["text", "text_a", "sentence", "sentence1", "#1 String"],
    "text_b": ["text_b", "sentence2", "#2 String"],
    "label": ["label", "Quality", "score"],
}


def read_rows(path, columns):
    """[(text, text_b or None, label)] of a TSV file with a header. Quotes are literal, so this is not csv."""
    lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    given = dict(pair.split("=", 1) for pair in columns.split(",")) if columns else {}
    places = []
    for role, recognised in RECOGNISED.items():
        names = [given[role]] if role in given else [] if given else [name for name in recognised if name in header]
        places.append(header.index(names[0]) if names else None)
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            sys.exit(f"{path}:{number}: {len(fields)} columns, the header has {len(header)}")
        rows.append([None if place is None else fields[place] for place in places])
    return rows


def batches(tokenizer, rows, ids, size):
    """Padded to the longest row of each batch."""
    for first in range(0, len(rows), size):
        texts, texts_b, labels = zip(*rows[first : first + size])
        inputs = tokenizer(
            list(texts), None if texts_b[0] is None else list(texts_b), truncation="longest_first",
            max_length=MAX_LENGTH, padding="longest", return_tensors="pt",
        )  # fmt: skip
        yield inputs, torch.tensor([ids[label] for label in labels])


def train(model, tokenizer, rows, ids, arguments):
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        (others if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, eps=EPSILON, fused=True)
    steps = math.ceil(len(rows) / arguments.batch_size) * arguments.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(WARMUP * steps), steps)
    model.train()
    for _ in range(arguments.epochs):
        random.shuffle(rows)
        for inputs, labels in batches(tokenizer, rows, ids, arguments.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
                loss = model(**inputs, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()


def evaluate(model, tokenizer, rows, ids, arguments):
    model.eval()
    guessed, right = [], []
    with torch.inference_mode():
        for inputs, labels in batches(tokenizer, rows, ids, arguments.batch_size):
            guessed += model(**inputs).logits.argmax(dim=1).tolist()
            right += labels.tolist()
    metrics = {"accuracy": sum(a == b for a, b in zip(guessed, right)) / len(right)}
    if len(ids) == 2:
        hits = sum(a == b == 1 for a, b in zip(guessed, right))
        metrics["f1"] = 2 * hits / max(1, sum(guessed) + sum(right))
    return metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--columns")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--dropout", type=float, required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    rows, dev_rows = read_rows(arguments.train, arguments.columns), read_rows(arguments.dev, arguments.columns)
    ids = {label: id for id, label in enumerate(sorted({row[2] for row in rows}))}
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = BertForSequenceClassification.from_pretrained(
        arguments.model, num_labels=len(ids), dtype=torch.float32,
        hidden_dropout_prob=arguments.dropout, attention_probs_dropout_prob=arguments.dropout,
    )  # fmt: skip
    train(model, tokenizer, rows, ids, arguments)
    print(json.dumps(evaluate(model, tokenizer, dev_rows, ids, arguments)))


if __name__ == "__main__":
    main()
