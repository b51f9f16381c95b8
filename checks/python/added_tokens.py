"""Compares added tokens with Hugging Face's tokenizers: ids and offsets of random texts under random added tokens.

    python checks/python/added_tokens.py target/release/cloze [--tokenizers N] [--texts N] [--seed N]

Each tokenizer has up to six added tokens with every combination of lstrip, rstrip, single_word, normalized and
special, made of few characters, so that they overlap, begin and end with whitespace, and normalize to each other.
Ends with exit code 1 and the first differences if there are any, or if an offset lies behind its text.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] x a b c é É ##a ##b ##x ##c ab ##ab , . 中 1 ##1 _ ß".split()
PARTS = ["x", "a", "b", "c", "é", "É", "A", " ", "  ", "\t", "\u00a0", ",", "中", "1", "_", "\u0301", "xa", "ab", "\u200b", "ß", "²"]
# Their normalized forms may be equal or empty; the library then takes one of them at random, or none.
SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


def some(draw: random.Random, most: int) -> str:
    return "".join(draw.choice(PARTS) for _ in range(draw.randint(1, most)))


def tokenizer(draw: random.Random) -> tuple[Tokenizer, list[str]]:
    normalizer = BertNormalizer(
        clean_text=draw.random() < 0.8,
        handle_chinese_chars=draw.random() < 0.8,
        strip_accents=draw.choice([None, True, False]),
        lowercase=draw.random() < 0.6,
    )
    own = Tokenizer(WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    own.normalizer = normalizer
    own.pre_tokenizer = BertPreTokenizer()
    own.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    own.add_special_tokens(list(SPECIAL))
    contents, seen = [], set()
    for _ in range(draw.randint(1, 6)):
        content = some(draw, 3)
        flags = {name: draw.random() < 0.4 for name in ("lstrip", "rstrip", "single_word", "normalized", "special")}
        key = (flags["normalized"], normalizer.normalize_str(content) if flags["normalized"] else content)
        if key in seen or content in contents or not key[1]:
            continue
        seen.add(key)
        contents.append(content)
        own.add_tokens([AddedToken(content, **flags)])
    return own, contents


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cloze")
    parser.add_argument("--tokenizers", type=int, default=500)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    compared = panicked = differences = 0
    with tempfile.TemporaryDirectory() as folder:
        path, texts_path = Path(folder, "tokenizer.json"), Path(folder, "texts.jsonl")
        for _ in range(arguments.tokenizers):
            own, contents = tokenizer(draw)
            own.save(str(path))
            pieces = contents * 3 + PARTS
            texts = ["".join(draw.choice(pieces) for _ in range(draw.randint(1, 10))) for _ in range(arguments.texts)]
            texts_path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
            command = [arguments.cloze, "tokenize", "--tokenizer", path, "--input", texts_path, "--json"]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            answers = [json.loads(line) for line in run.stdout.splitlines()]
            assert len(answers) == len(texts), (len(answers), len(texts))
            for text, answer in zip(texts, answers):
                offsets = [tuple(offset) for offset in answer["offsets"]]
                inside = all(0 <= start <= end <= len(text) for start, end in offsets)
                try:
                    theirs = own.encode(text)
                    expected = (theirs.ids, theirs.offsets)
                except BaseException:  # noqa: BLE001: their panics are of no Exception's class
                    panicked += 1
                    expected = (answer["ids"], offsets)
                compared += 1
                if not inside or (answer["ids"], offsets) != expected:
                    differences += 1
                    if differences <= 5:
                        print(f"{text!r}\n  ours   {answer['ids']} {offsets}\n  theirs {expected[0]} {expected[1]}")
                        print("  " + json.dumps(json.loads(path.read_text())["added_tokens"][5:], ensure_ascii=False))
    print(f"{compared} texts, {differences} differences; theirs panicked on {panicked}")
    return 1 if differences or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
