"""Makes directories of sentence-transformers with tiny random BERTs, and what it computes with them.

    python make_sentence_fixtures.py crates/cloze/tests/fixtures/sentence

    embedder/        as release 6 saves it: three poolings side by side, prompts that are not pooled, Dense layers,
                     Normalize, fewer dimensions
    old_layout/      0_Transformer/, a flag for each pooling, do_lower_case beside a cased tokenizer
    cross_encoder/   modules.json with Transformer alone, and a function on its score
    expected.json    vectors and scores, in float64 from the float32 weights
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

SCALE = 0.4
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat ran query find passage : ##s ##ing . é e The Cat"
TEXTS = ["the cat sat.", "a dog", "The Cats É ran", "find the dogs : sitting in the passage ran the cat sat a dog ran."]
PAIRS = [["the cat", "a dog sat."], ["dogs", "the passage ran : the cat"]]
POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


def save_transformer(folder, cased, labels=None):
    config = BertConfig(
        vocab_size=len(WORDS.split()),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=17,
        max_position_embeddings=20,
        **({} if labels is None else {"num_labels": labels}),
    )
    kind = BertModel if labels is None else BertForSequenceClassification
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, SCALE)
    model.save_pretrained(folder)
    vocab = folder / "vocab.txt"
    vocab.write_text("".join(f"{word}\n" for word in WORDS.split()), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(vocab), do_lower_case=not cased, model_max_length=20)
    tokenizer.save_pretrained(folder)


def lists(values):
    return [[float(value) for value in row] for row in values]


def embedder(output, scratch):
    save_transformer(scratch, cased=False)
    dense = [
        Dense(36, 9, activation_function=torch.nn.GELU()),
        Dense(9, 7, bias=False, activation_function=torch.nn.Tanh()),
        Dense(7, 7, activation_function=torch.nn.Sigmoid()),
    ]
    modules = [
        Transformer(str(scratch), max_seq_length=14),
        Pooling(12, pooling_mode=["lasttoken", "mean", "max"], include_prompt=False),
        *dense,
        Normalize(),
    ]
    model = SentenceTransformer(
        modules=modules,
        prompts={"query": "find the query : ", "passage": "passage : "},
        default_prompt_name="query",
        truncate_dim=5,
        device="cpu",
    )
    model.save_pretrained(str(output), create_model_card=False)
    model = SentenceTransformer(str(output), device="cpu").double()
    assert model.default_prompt_name == "query" and model.truncate_dim == 5
    result = {
        "default": lists(model.encode(TEXTS)),
        "no_prompt": lists(model.encode(TEXTS, prompt="")),
        "passage": lists(model.encode(TEXTS, prompt_name="passage")),
        "seven_dimensions": lists(model.encode(TEXTS, prompt="a dog ", truncate_dim=7)),
        "normalized": lists(model.encode(TEXTS, normalize_embeddings=True)),
    }
    for name in POOLINGS:
        pooled = SentenceTransformer(modules=[model[0], Pooling(12, pooling_mode=name, include_prompt=False)]).double()
        result[name] = lists(pooled.encode(TEXTS, prompt="find the query : "))
        result[f"{name} without prompt"] = lists(pooled.encode(TEXTS))
    return result


def old_layout(output):
    folder = output / "0_Transformer"
    folder.mkdir(parents=True)
    save_transformer(folder, cased=True)
    write = lambda path, value: path.write_text(json.dumps(value, indent=2) + "\n")
    write(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": True})
    (output / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{name}": name in ("cls_token", "mean_sqrt_len_tokens") for name in
             ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
    write(output / "1_Pooling/config.json", {"word_embedding_dimension": 12, **flags})
    kinds = [("Transformer", "0_Transformer"), ("Pooling", "1_Pooling")]
    write(output / "modules.json", [
        {"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for idx, (kind, path) in enumerate(kinds)
    ])
    model = SentenceTransformer(str(output), device="cpu").double()
    tokens = model.tokenizer.tokenize("The Cats É ran")
    assert tokens == ["the", "cat", "##s", "é", "ran"], tokens
    return {"default": lists(model.encode(TEXTS)), "tokens": tokens}


def cross_encoder(output, scratch):
    save_transformer(scratch, cased=False, labels=1)
    model = CrossEncoder(str(scratch), device="cpu", activation_fn=torch.nn.Tanh())
    model.save_pretrained(str(output))
    model = CrossEncoder(str(output), device="cpu")
    model.model.double()
    scores = {"tanh": [float(score) for score in model.predict(PAIRS)]}
    for name, function in [("identity", torch.nn.Identity()), ("sigmoid", torch.nn.Sigmoid())]:
        scores[name] = [float(score) for score in model.predict(PAIRS, activation_fn=function)]
    return scores


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    shutil.rmtree(output, ignore_errors=True)
    scratch = output / "scratch"
    output.mkdir(parents=True)
    torch.manual_seed(7)
    expected = {
        "texts": TEXTS,
        "pairs": PAIRS,
        "embedder": embedder(output / "embedder", scratch),
        "old_layout": old_layout(output / "old_layout"),
        "cross_encoder": cross_encoder(output / "cross_encoder", scratch),
    }
    shutil.rmtree(scratch)
    for readme in output.glob("**/README.md"):
        readme.unlink()
    (output / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
