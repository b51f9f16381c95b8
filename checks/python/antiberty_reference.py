"""Makes antiberty_fill.json: how transformers fills masked residues with antiberty's weights.

    python antiberty_reference.py DIR crates/cloze/tests/fixtures/antiberty_fill.json

DIR is what antiberty_to_safetensors.py writes. For each text: its token ids, and for each [MASK]
its position (token index, [CLS] is 0), the residue that stood there, the logits of the whole
vocabulary, and the five likeliest tokens with their probabilities. Computed in float64, each text alone.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import BertForMaskedLM, BertTokenizerFast, logging

# Variable domains of a humanised antibody, heavy and light, and the end of a heavy one.
SEQUENCES = [
    (
        "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
        "SRWGGDGFYAMDYWGQGTLVTVSS",
        [4, 21, 35, 52, 73, 95, 98, 110],
    ),
    (
        "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPP"
        "TFGQGTKVEIK",
        [0, 22, 34, 87, 88, 106],
    ),
    ("WGQGTLVTVSS", [2, 3]),
]
CANDIDATES = 5


def fill(model, tokenizer, sequence, masked):
    residues = [tokenizer.mask_token if index in masked else residue for index, residue in enumerate(sequence)]
    text = " ".join(residues)
    input_ids = tokenizer(text)["input_ids"]
    assert len(input_ids) == len(sequence) + 2, text
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([input_ids])).logits[0]
    masks = []
    for index in masked:
        position = index + 1
        assert input_ids[position] == tokenizer.mask_token_id
        probabilities = logits[position].softmax(-1)
        best = probabilities.topk(CANDIDATES)
        masks.append(
            {
                "position": position,
                "residue": sequence[index],
                "candidates": [
                    {"token": tokenizer.convert_ids_to_tokens(id), "id": id, "score": rounded(score)}
                    for score, id in zip(best.values.tolist(), best.indices.tolist())
                ],
                "logits": [rounded(logit) for logit in logits[position].tolist()],
            }
        )
    return {"text": text, "input_ids": input_ids, "masks": masks}


def rounded(number):
    """Nine digits: enough to tell every f32 from its neighbours."""
    return float(f"{number:.9g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = BertTokenizerFast.from_pretrained(arguments.model)
    results = {}
    for dtype in (torch.float64, torch.float32):
        model = BertForMaskedLM.from_pretrained(arguments.model, dtype=dtype).eval()
        results[dtype] = [fill(model, tokenizer, sequence, masked) for sequence, masked in SEQUENCES]
    rows = [
        "  " + json.dumps(text, ensure_ascii=False, separators=(", ", ": ")) for text in results[torch.float64]
    ]
    arguments.output.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    logits = {
        dtype: np.array([mask["logits"] for text in texts for mask in text["masks"]])
        for dtype, texts in results.items()
    }
    masks = [mask for text in results[torch.float64] for mask in text["masks"]]
    recovered = sum(mask["candidates"][0]["token"] == mask["residue"] for mask in masks)
    print(f"{recovered} of {len(masks)} masked residues are the likeliest token")
    print(f"float32 strays from float64 by {abs(logits[torch.float32] - logits[torch.float64]).max():.1e} in a logit")


if __name__ == "__main__":
    main()
