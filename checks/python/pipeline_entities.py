"""Makes pipeline_entities.json: what transformers' TokenClassificationPipeline makes of given scores.

    python pipeline_entities.py crates/cloze/tests/fixtures/pipeline_entities.json [--cases N] [--seed N]

Texts are random words over a small vocabulary, with punctuation, letters of two bytes and more, and words without a
token ([UNK]). Labels are in IOB1 or IOB2, or plain; entities of other schemes the pipeline takes apart. Scores are
random, many of them equal, in float64. Only the pipeline's own gathering, aggregating and
leaving out of "O" runs; there is no model. Tokens are [start, end, word], entities [label, start, end, text, score].
"""

import argparse
import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

PIECES = ["a", "b", "é", "ab", "##a", "##b", "##ab", "##é", ".", ",", "-", "東"]
WORDS = ["a", "ab", "abab", "ababa", "ba", "béé", "Ab", "zzz", "🙂", "東", "a-b", "ab.", "Bab,"]
LABELS = [
    ["O", "B-X", "I-X", "B-Y", "I-Y"],
    ["O", "I-X", "B-X", "I-Y"],
    ["NOUN", "ADJ", "E", "S", "O"],
    ["O", "B-a-b", "I-a-b", "B-a"],
]


def make_pipeline():
    vocabulary = {piece: index for index, piece in enumerate(["[UNK]", *PIECES])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    return pipeline


def scores(tokens, labels):
    if random.random() < 0.5:
        return np.array([[random.randint(0, 8) / 8 for _ in range(labels)] for _ in range(tokens)])
    rows = np.random.default_rng(random.randrange(1 << 30)).gumbel(size=(tokens, labels)).round(2)
    return (np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)).round(4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    pipeline = make_pipeline()
    cases = []
    for index in range(arguments.cases):
        labels = LABELS[index % len(LABELS)]
        pipeline.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(labels))))
        text = " ".join(random.choice(WORDS) for _ in range(random.randint(1, 6)))
        encoding = pipeline.tokenizer(text, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        rows = scores(len(ids), len(labels))
        case = {
            "text": text,
            "labels": labels,
            "tokens": [[*offset, word] for offset, word in zip(offsets, encoding.word_ids())],
            "scores": rows.tolist(),
        }
        for strategy in AggregationStrategy:
            special = np.zeros(len(ids), dtype=int)
            gathered = pipeline.gather_pre_entities(text, np.array(ids), rows, offsets, special, strategy)
            found = pipeline.aggregate(gathered, strategy)
            name = "entity" if strategy == AggregationStrategy.NONE else "entity_group"
            case[strategy.value] = [
                [row[name], row["start"], row["end"], text[row["start"] : row["end"]], float(row["score"])]
                for row in found
                if row[name] != "O"
            ]
        cases.append(case)
    rows = ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in cases)
    arguments.output.write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
