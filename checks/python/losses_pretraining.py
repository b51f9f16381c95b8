"""Writes the losses of the first steps of a pre-training with transformers and PyTorch on fixed instances, to set those
of `cloze pretrain` beside them.

    cloze instances --google --input BOOK --vocab VOCAB --dupe-factor 1 --output instances.jsonl
    python losses_pretraining.py --instances instances.jsonl --vocab VOCAB --save-start START --output losses.json
    cloze pretrain --instances instances.jsonl --model START --steps 50 --batch-size 32 --dropout 0 \
        --optimizer adamw --learning-rate 1e-3 --warmup 0.1 --output RUN
    python compare_losses.py RUN/trainer_state.json losses.json 1e-4

No dropout, instances in the file's order, each batch padded to its longest. The loss is that of `BertForPreTraining`.
The rate rises over a tenth of the steps and then falls in a line to 0.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining, BertTokenizer, get_linear_schedule_with_warmup


def batch_of(instances, ids):
    length = max(len(instance["tokens"]) for instance in instances)
    inputs = torch.full((len(instances), length), ids["[PAD]"])
    segments, mask = torch.zeros_like(inputs), torch.zeros_like(inputs)
    labels = torch.full_like(inputs, -100)
    for row, instance in enumerate(instances):
        size = len(instance["tokens"])
        inputs[row, :size] = torch.tensor([ids[token] for token in instance["tokens"]])
        segments[row, :size] = torch.tensor(instance["segment_ids"])
        mask[row, :size] = 1
        for position, token in zip(instance["masked_lm_positions"], instance["masked_lm_labels"]):
            labels[row, position] = ids[token]
    next_sentence = torch.tensor([int(instance["is_random_next"]) for instance in instances])
    return dict(
        input_ids=inputs, token_type_ids=segments, attention_mask=mask, labels=labels, next_sentence_label=next_sentence
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=Path, required=True)
    parser.add_argument("--vocab", type=Path, required=True, help="a vocab.txt")
    parser.add_argument("--save-start", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    tokens = arguments.vocab.read_text(encoding="utf-8").split("\n")[:-1]
    ids = {token: number for number, token in enumerate(tokens)}
    instances = [json.loads(line) for line in open(arguments.instances, encoding="utf-8")]

    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=ids["[PAD]"],
    )  # fmt: skip
    model = BertForPreTraining(config).train()
    model.save_pretrained(arguments.save_start)
    BertTokenizer(str(arguments.vocab)).save_pretrained(arguments.save_start)

    decayed = lambda name: not name.endswith("bias") and "LayerNorm" not in name
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if decayed(name)], "weight_decay": 0.01},
        {"params": [p for name, p in named if not decayed(name)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, eps=1e-8)
    schedule = get_linear_schedule_with_warmup(optimizer, arguments.steps // 10, arguments.steps)
    losses = []
    for step in range(arguments.steps):
        # A batch may reach into the next pass over the file.
        places = range(step * arguments.batch_size, (step + 1) * arguments.batch_size)
        loss = model(**batch_of([instances[place % len(instances)] for place in places], ids)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    arguments.output.write_text(json.dumps({"torch": torch.__version__, "losses": losses}) + "\n")


if __name__ == "__main__":
    main()
