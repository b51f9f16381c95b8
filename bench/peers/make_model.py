"""Makes a BERT with random weights as a Hugging Face directory: `make_model.py DIR --size H,L,I`.

It has a pooler and a classifier of two labels. The vocabulary has the words of the text that `start.py` asks about,
every letter, and fillers up to the usual number of entries.
"""

import argparse
import string
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

SEED = 1
WORDS = "the farmer left barn and went to meadow sheep were waiting there for him all morning in rain".split()


def vocabulary(entries):
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *WORDS]
    return tokens + [f"filler{number}" for number in range(entries - len(tokens))]


def bert_config(size):
    """Published sizes have heads of 64 numbers."""
    hidden, layers, inner = map(int, size.split(","))
    return BertConfig(
        vocab_size=30522, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=inner, num_labels=2,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", required=True, help="hidden_size,num_hidden_layers,intermediate_size")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    config = bert_config(arguments.size)
    BertForSequenceClassification(config).save_pretrained(arguments.output)
    tokens = vocabulary(config.vocab_size)
    (arguments.output / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(vocab={token: id for id, token in enumerate(tokens)}, do_lower_case=True)
    tokenizer.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
