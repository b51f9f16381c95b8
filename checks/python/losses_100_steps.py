"""Makes losses_TASK.json: the losses of the first 100 steps of fine-tuning with transformers and PyTorch.

    python minilm_start.py WHEEL START --labels 0 1
    python losses_100_steps.py --model START --train MRPC/train.tsv \
        --text "#1 String" --text-b "#2 String" --label Quality --output losses_mrpc.json
    python minilm_start.py WHEEL START --labels entailment not_entailment
    python losses_100_steps.py --model START --train RTE/train.tsv \
        --text sentence1 --text-b sentence2 --label label --output losses_rte.json
    python losses_100_steps.py --model MINILM --squad train-v1.1.json --save-start START --output losses_squad.json
    cloze finetune --task qa --model START --train train-v1.1.json --dev DEV --window-overlap 128 --batch-size 12 \
        --learning-rate 3e-5 --epochs 2 --shuffle off --dropout 0 --output RUN
    python compare_losses.py RUN/trainer_state.json losses_squad.json

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
from transformers import (
    AutoTokenizer,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    get_linear_schedule_with_warmup,
    logging,
)

STEPS = 100
SETTINGS = dict(
    batch_size=32, max_seq_length=128, epochs=3, learning_rate=5e-5, warmup_fraction=0.1,
    beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.01, max_grad_norm=1.0,
)

# What transformers' run_qa.py is usually called with; its `doc_stride` is the overlap.
SQUAD_SETTINGS = dict(batch_size=12, max_seq_length=384, window_overlap=128, epochs=2, learning_rate=3e-5)


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


def squad_windows(path, tokenizer, s):
    """(ids, segments, first token of the answer, last token) of each window, (0, 0) where the answer is elsewhere."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    windows = []
    for paragraph in (paragraph for article in data for paragraph in article["paragraphs"]):
        for qa in paragraph["qas"]:
            answer = qa["answers"][0]
            first, last = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            encoded = tokenizer(
                qa["question"], paragraph["context"], truncation="only_second", max_length=s["max_seq_length"],
                stride=s["window_overlap"], return_overflowing_tokens=True, return_offsets_mapping=True,
            )
            for index, ids in enumerate(encoded["input_ids"]):
                offsets = encoded["offset_mapping"][index]
                own = [at for at, kind in enumerate(encoded.sequence_ids(index)) if kind == 1]
                target = (0, 0)
                if offsets[own[0]][0] <= first and last <= offsets[own[-1]][1]:
                    start = max(at for at in own if offsets[at][0] <= first)
                    target = (start, min(at for at in own if offsets[at][1] >= last))
                windows.append((ids, encoded["token_type_ids"][index], *target))
    return windows


def answer_loss(model, batch):
    """The mean cross-entropy of starts and ends among the tokens of each window. transformers' own loss lets padding
    take part in the softmax, so that it depends on what else is in the batch."""
    starts, ends = batch.pop("start_positions"), batch.pop("end_positions")
    output = model(**batch)
    padding = batch["attention_mask"] == 0
    loss = torch.nn.functional.cross_entropy
    of_starts = loss(output.start_logits.masked_fill(padding, -torch.inf), starts)
    return (of_starts + loss(output.end_logits.masked_fill(padding, -torch.inf), ends)) / 2


def table_batches(arguments, model, tokenizer, s):
    """The number of rows, and the batch of rows from a place on."""
    rows = read_rows(arguments.train, [arguments.text, arguments.text_b, arguments.label])

    def batch_at(first):
        texts, texts_b, labels = zip(*rows[first : first + s["batch_size"]])
        batch = tokenizer(
            list(texts), list(texts_b), truncation="longest_first", max_length=s["max_seq_length"],
            padding="longest", return_tensors="pt",
        )
        return dict(batch, labels=torch.tensor([model.config.label2id[label] for label in labels]))

    return len(rows), batch_at


def squad_batches(arguments, tokenizer, s):
    """The number of windows, and the batch of windows from a place on."""
    windows = squad_windows(arguments.squad, tokenizer, s)

    def batch_at(first):
        ids, kinds, starts, ends = zip(*windows[first : first + s["batch_size"]])
        batch = tokenizer.pad({"input_ids": list(ids), "token_type_ids": list(kinds)}, return_tensors="pt")
        return dict(batch, start_positions=torch.tensor(starts), end_positions=torch.tensor(ends))

    return len(windows), batch_at


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--text")
    parser.add_argument("--text-b")
    parser.add_argument("--label")
    parser.add_argument("--squad", type=Path, help="questions instead of a table")
    parser.add_argument("--save-start", type=Path, help="with --squad: where to write the model with its new head")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    s = SETTINGS | SQUAD_SETTINGS if arguments.squad else SETTINGS
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    if arguments.squad:
        torch.manual_seed(1)
        model = BertForQuestionAnswering.from_pretrained(
            arguments.model, dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        ).train()
        model.save_pretrained(arguments.save_start)
        tokenizer.save_pretrained(arguments.save_start)
        rows, batch_at = squad_batches(arguments, tokenizer, s)
    else:
        model = BertForSequenceClassification.from_pretrained(arguments.model, dtype=torch.float32).train()
        rows, batch_at = table_batches(arguments, model, tokenizer, s)
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
    steps_per_epoch = math.ceil(rows / s["batch_size"])
    total_steps = steps_per_epoch * s["epochs"]
    warmup_steps = math.ceil(total_steps * s["warmup_fraction"])
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, total_steps)

    losses, grad_norms, learning_rates, tokens = [], [], [], []
    began = time.monotonic()
    for step in range(STEPS):
        batch = batch_at(step % steps_per_epoch * s["batch_size"])
        loss = model(**batch).loss if arguments.train else answer_loss(model, batch)
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
        "rows": rows,
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
