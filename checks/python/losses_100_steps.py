"""Makes losses_TASK.json: the losses of the first 100 steps of fine-tuning with transformers and PyTorch.

    python minilm_start.py WHEEL START --labels 0 1
    python losses_100_steps.py --model START --train MRPC/train.tsv \
        --text "#1 String" --text-b "#2 String" --label Quality --output losses_mrpc.json
    python minilm_start.py WHEEL START --labels entailment not_entailment
    python losses_100_steps.py --model START --train RTE/train.tsv \
        --text sentence1 --text-b sentence2 --label label --output losses_rte.json

No dropout, rows in the file's order in every epoch, the last short batch kept, each batch padded to
its longest row: another program that starts from START sees the same batches. A loss is the mean
cross-entropy of its batch before the update. The settings that made them stand in the file.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup, logging

STEPS = 100
SETTINGS = dict(
    batch_size=32, max_seq_length=128, epochs=3, learning_rate=5e-5, warmup_fraction=0.1,
    beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.01, max_grad_norm=1.0,
)


def read_rows(path, columns):
    """The named columns of a TSV file. Quotes are literal, so this is not csv."""
    lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    indices = [header.index(column) for column in columns]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            raise ValueError(f"{path}:{number}: {len(fields)} columns, the header has {len(header)}")
        rows.append([fields[index] for index in indices])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--text-b", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    s = SETTINGS
    rows = read_rows(arguments.train, [arguments.text, arguments.text_b, arguments.label])
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = BertForSequenceClassification.from_pretrained(arguments.model, dtype=torch.float32).train()
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.0

    decayed = lambda name: not name.endswith("bias") and "LayerNorm" not in name
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for name, p in named if decayed(name)], "weight_decay": s["weight_decay"]},
            {"params": [p for name, p in named if not decayed(name)], "weight_decay": 0.0},
        ],
        lr=s["learning_rate"], betas=(s["beta1"], s["beta2"]), eps=s["epsilon"],
    )
    steps_per_epoch = math.ceil(len(rows) / s["batch_size"])
    total_steps = steps_per_epoch * s["epochs"]
    warmup_steps = math.ceil(total_steps * s["warmup_fraction"])
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, total_steps)

    losses, grad_norms, learning_rates, tokens = [], [], [], []
    began = time.monotonic()
    for step in range(STEPS):
        first = step % steps_per_epoch * s["batch_size"]
        texts, texts_b, labels = zip(*rows[first : first + s["batch_size"]])
        batch = tokenizer(
            list(texts), list(texts_b), truncation="longest_first", max_length=s["max_seq_length"],
            padding="longest", return_tensors="pt",
        )
        labels = torch.tensor([model.config.label2id[label] for label in labels])
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), s["max_grad_norm"])
        losses.append(float(f"{loss.item():.9g}"))
        grad_norms.append(float(f"{norm.item():.9g}"))
        learning_rates.append(float(f"{schedule.get_last_lr()[0]:.9g}"))
        tokens.append(batch["attention_mask"].sum().item())
        optimizer.step()
        schedule.step()
        if step % 10 == 9:
            print(f"step {step + 1}: loss {losses[-1]:.6f}, {time.monotonic() - began:.0f} s", flush=True)
    result = {
        "settings": s,
        "rows": len(rows),
        "labels": model.config.label2id,
        "steps_per_epoch": steps_per_epoch,
        "total_steps": total_steps,
        "warmup_steps": warmup_steps,
        "tokens": tokens,
        "learning_rates": learning_rates,
        "grad_norms": grad_norms,
        "losses": losses,
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    arguments.output.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
