"""PyTorch's step of pre-training: `torch_train.py --size H,L,I --precision f32|bf16 --head masked|all --threads N`.

One step is forward, MLM and NSP losses, backward, clipping of the norm at 1, and the fused AdamW; dropout is on. With
`--head masked` the head of the masked language model computes logits of the masked rows only, as Google's code and
Cloze do; with `all`, of all rows, as BertForPreTraining does by itself. bf16 is autocast.
"""

import argparse
import contextlib
import math

import torch
from make_model import bert_config
from protocol import Server
from torch.nn.functional import cross_entropy
from transformers import BertForPreTraining

MASKED = 0.15
MASK_ID = 103
NOT_MASKED = -100


class Model:
    def __init__(self, arguments):
        torch.set_num_threads(arguments.threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(1)
        self.bf16 = arguments.precision == "bf16"
        self.model = BertForPreTraining(bert_config(arguments.size)).train()
        decayed, others = [], []
        for name, parameter in self.model.named_parameters():
            (others if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, eps=1e-8, fused=True)
        self.loss = self.masked_loss if arguments.head == "masked" else self.all_loss
        if arguments.compile:
            self.loss = torch.compile(self.loss, dynamic=False)

    def prepare(self, parts):
        (part,) = parts
        ids = torch.from_numpy(part.input_ids)
        there = torch.from_numpy(part.attention_mask).bool()
        labels = torch.full_like(ids, NOT_MASKED)
        for row, length in enumerate(there.sum(dim=1).tolist()):
            places = torch.randperm(length)[: max(1, round(MASKED * length))]
            labels[row, places] = ids[row, places]
        masked = labels != NOT_MASKED
        self.inputs = {"input_ids": ids.masked_fill(masked, MASK_ID)}
        self.inputs["token_type_ids"] = torch.from_numpy(part.token_type_ids)
        if not part.full:
            self.inputs["attention_mask"] = there.long()
        self.labels = labels
        self.masked_rows = masked.flatten().nonzero().flatten()
        self.masked_labels = labels.flatten()[self.masked_rows]
        self.next_sentence = torch.randint(0, 2, (len(ids),))

    def masked_loss(self):
        outputs = self.model.bert(**self.inputs)
        rows = outputs.last_hidden_state.flatten(0, 1)[self.masked_rows]
        masked_lm = cross_entropy(self.model.cls.predictions(rows), self.masked_labels)
        return masked_lm + cross_entropy(self.model.cls.seq_relationship(outputs.pooler_output), self.next_sentence)

    def all_loss(self):
        return self.model(**self.inputs, labels=self.labels, next_sentence_label=self.next_sentence).loss

    def run(self):
        autocast = torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with autocast:
            loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        # A step that computes nonsense may be fast.
        assert math.isfinite(loss.item()), f"the loss is {loss.item()}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--head", choices=["masked", "all"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    Server(Model(parser.parse_args())).serve()
