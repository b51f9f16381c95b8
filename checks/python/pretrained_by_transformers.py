"""Pre-trains transformers' BertForPreTraining for a given time on the instances that `cloze pretrain --instances` reads,
to set the curves of both side by side.

    python pretrained_by_transformers.py sentences BOOK.txt... --train train.txt --dev dev.txt
    cloze instances --google --input train.txt --vocab VOCAB --dupe-factor 3 --max-seq-length 64 \\
        --max-predictions-per-seq 10 --output train.jsonl   (and dev.jsonl)
    cloze pretrain --instances train.jsonl --dev dev.jsonl --tokenizer VOCAB --preset tiny --max-seq-length 64 \\
        --time 30m --batch-size 16 --learning-rate 1e-3 --dropout 0 --optimizer adamw --output RUN
    python pretrained_by_transformers.py train --instances train.jsonl --dev dev.jsonl --vocab VOCAB --minutes 30

AdamW (bias-corrected, eps 1e-8, decay 0.01 not on biases and LayerNorm), a rise of the rate over 1 % of the steps, then
linear to 0, clip 1.0. The number of steps follows from the time that the first ones take; instances are turned to tensors
before the clock starts, and a batch is padded to its longest instance. Prints a line of JSON at every tenth of the run.
"""

import argparse
import json
import re
import time
from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining, get_linear_schedule_with_warmup

# Heads of 64.
SIZES = {"tiny": (2, 128), "mini": (4, 256)}


def write_sentences(arguments):
    """One sentence a line, a blank line behind each book; every 31st book is held out."""
    with open(arguments.train, "w", encoding="utf-8") as train, open(arguments.dev, "w", encoding="utf-8") as dev:
        for number, path in enumerate(sorted(arguments.books)):
            file = dev if number % 31 == 30 else train
            for line in path.read_text(encoding="utf-8").split("\n"):
                for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'“‘])", line.strip()):
                    if sentence:
                        file.write(sentence + "\n")
            file.write("\n")


def read_instances(path, ids):
    """Each instance as tensors: ids, segments, labels (-100 where nothing is to be predicted); and its label."""
    instances = []
    for line in open(path, encoding="utf-8"):
        instance = json.loads(line)
        tokens = torch.tensor([ids[token] for token in instance["tokens"]], dtype=torch.int32)
        labels = torch.full_like(tokens, -100)
        labels[instance["masked_lm_positions"]] = torch.tensor(
            [ids[token] for token in instance["masked_lm_labels"]], dtype=torch.int32
        )
        segments = torch.tensor(instance["segment_ids"], dtype=torch.int8)
        instances.append((tokens, segments, labels, int(instance["is_random_next"])))
    return instances


def batch_of(instances):
    pad = lambda place, value: torch.nn.utils.rnn.pad_sequence(
        [instance[place].long() for instance in instances], batch_first=True, padding_value=value
    )
    inputs = pad(0, 0)
    lengths = torch.tensor([len(instance[0]) for instance in instances])
    return dict(
        input_ids=inputs,
        token_type_ids=pad(1, 0),
        attention_mask=(torch.arange(inputs.shape[1]) < lengths[:, None]).long(),
        labels=pad(2, -100),
        next_sentence_label=torch.tensor([instance[3] for instance in instances]),
    )


def evaluate(model, instances):
    """The mean losses and accuracies over all predicted tokens and all pairs."""
    model.eval()
    sums = dict(mlm_loss=0.0, mlm_right=0, nsp_loss=0.0, nsp_right=0)
    masked = 0
    with torch.inference_mode():
        for first in range(0, len(instances), 64):
            batch = batch_of(instances[first : first + 64])
            labels, pairs = batch.pop("labels"), batch.pop("next_sentence_label")
            output = model(**batch)
            wanted = labels != -100
            logits, labels = output.prediction_logits[wanted], labels[wanted]
            sums["mlm_loss"] += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            sums["mlm_right"] += (logits.argmax(dim=1) == labels).sum().item()
            logits = output.seq_relationship_logits
            sums["nsp_loss"] += torch.nn.functional.cross_entropy(logits, pairs, reduction="sum").item()
            sums["nsp_right"] += (logits.argmax(dim=1) == pairs).sum().item()
            masked += len(labels)
    model.train()
    return {name: value / (masked if name.startswith("mlm") else len(instances)) for name, value in sums.items()}


def train(arguments):
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    tokens = arguments.vocab.read_text(encoding="utf-8").split("\n")[:-1]
    ids = {token: number for number, token in enumerate(tokens)}
    instances, dev = read_instances(arguments.instances, ids), read_instances(arguments.dev, ids)
    layers, hidden = SIZES[arguments.preset]
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, pad_token_id=ids["[PAD]"], hidden_dropout_prob=arguments.dropout,
        attention_probs_dropout_prob=arguments.dropout,
    )  # fmt: skip
    model = BertForPreTraining(config).train()
    decayed = lambda name: not name.endswith("bias") and "LayerNorm" not in name
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if decayed(name)], "weight_decay": 0.01},
        {"params": [p for name, p in named if not decayed(name)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, eps=1e-8, fused=True)
    size, place = arguments.batch_size, 0

    def step(schedule=None):
        nonlocal place
        batch = batch_of([instances[(place + at) % len(instances)] for at in range(size)])
        place += size
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if schedule:
            schedule.step()
        return batch["attention_mask"].sum().item()

    # Steps with a rate of 0 change nothing but the moments, which are made anew below.
    begun = time.time()
    step()
    evaluate(model, dev[:64])
    first = time.time()
    timed = 20
    for _ in range(timed):
        step()
    step_seconds = (time.time() - first) / timed
    evaluating = time.time()
    evaluate(model, dev)
    evaluation_seconds = time.time() - evaluating
    left = 60 * arguments.minutes - (time.time() - begun) - 10 * evaluation_seconds
    steps = int(left / step_seconds)
    if steps < 1:
        raise SystemExit(f"a step takes {step_seconds:.2f} s, an evaluation {evaluation_seconds:.2f}: give more time")
    optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, eps=1e-8, fused=True)
    for group in optimizer.param_groups:
        group["lr"] = arguments.learning_rate
    schedule = get_linear_schedule_with_warmup(optimizer, -(-steps // 100), steps)
    place = seen = 0
    for number in range(1, steps + 1):
        seen += step(schedule)
        if number % -(-steps // 10) == 0 or number == steps:
            line = dict(step=number, steps=steps, seconds=round(time.time() - begun, 1), tokens=seen)
            print(json.dumps(line | evaluate(model, dev)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sentences = commands.add_parser("sentences")
    sentences.add_argument("books", nargs="+", type=Path)
    sentences.add_argument("--train", required=True)
    sentences.add_argument("--dev", required=True)
    sentences.set_defaults(run=write_sentences)
    training = commands.add_parser("train")
    training.add_argument("--instances", required=True)
    training.add_argument("--dev", required=True)
    training.add_argument("--vocab", type=Path, required=True, help="a vocab.txt")
    training.add_argument("--preset", choices=SIZES, default="tiny")
    training.add_argument("--minutes", type=float, default=30)
    training.add_argument("--batch-size", type=int, default=16)
    training.add_argument("--learning-rate", type=float, default=1e-3)
    training.add_argument("--dropout", type=float, default=0.0)
    training.add_argument("--threads", type=int, default=2)
    training.add_argument("--seed", type=int, default=1)
    training.set_defaults(run=train)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
