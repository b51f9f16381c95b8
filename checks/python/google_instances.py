"""Makes google_instances.json and google_tokens.json: what Google BERT's own scripts make of small texts.

    python3.11 google_instances.py fixtures GOOGLE crates
    python3.11 google_instances.py instances GOOGLE --input FILE... --vocab FILE --output FILE.jsonl [--cased] \
        [--whole-word] [--seed N] [--max-seq-length N] [--max-predictions-per-seq N] [--dupe-factor N]
    python3.11 google_instances.py characters GOOGLE --vocab FILE

GOOGLE is a folder with create_pretraining_data.py and tokenization.py of github.com/google-research/bert. They run
unchanged; TensorFlow, which they only use to read files and flags, is replaced by a few lines. "instances" writes a
file that must have the same lines as `cloze instances --google`, ids aside; compare with --compare FILE. "characters"
prints a text for every character, and what becomes of it, for a look at all of them: JSON lines of text and tokens.
"""

import argparse
import io
import json
import random
import sys
import types
import unicodedata
from pathlib import Path

WORDS = "the a cat dog fox red blue unhappy unhappily walked walking talked talk fish fishing o'clock re-do".split()
VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog fox red blue un ##happy ##happi ##ly walk ##ed ##ing talk fish o "
    "' clock re - do . , ##fox ##s mask [ ] e i ##e σ ##σ ς ##ς ο ##ο δ ##δ 中 文 ! ? „ “ 1 ##1 2 ##2 3 ##3 ᄒ ##ᅡ ##ᆫ "
    "cafe naive A ##A B ##B"
).split(" ")
PARTS = [
    "the", "Unhappily", "WALKED", "caf\u00e9", "cafe\u0301", "na\u00efve", "CAF\u00c9", "\u039f\u0394\u039f\u03a3",
    "\u03a3\u0391\u03a3", "\u03a3", "\u03bf\u03b4\u03bf\u03c2", "\u4e2d\u6587", "\u4e2dfox\u6587", "\U0002b820",
    "\U0002b920", "\ud55c", "\ud55c\uae00", "[MASK]", "[SEP]", "[mask]", "e\u0301\u0323", "\u0301", "a\u302f\U0001d165",
    "\u0130", "\u0130\u03a3", "\u00df", "\u1e9e", "\ufb01", "A", "AB", "123", "1.2", "!?", "\u201efox\u201c", "$", "~", "\u20ac",
    "\0", "\ufffd", "\u200b", "\u00ad", "\ufeff", "\ue000", "\u0378", "\x1c", "\x85", "\x0b", "\u180e", "\U000e0041",
    " ", "  ", "\t", "\u00a0", "\u2003", "\u2028", "\u2029", "\u3000", "\u1680", "'", "-", ".", ",", "o'clock",
    "\u0295\u03a3", "A\u03a3'", "\u2e52", "\U00011938", "\u1734", "\U00010d50", "\ua7cb", "\u0345\u0391\u03a3",
    "fish" * 49 + "ing", "un" + "s" * 197, "un" + "s" * 198, "un" + "s" * 199, "1" * 200, "1" * 201,
]


class Reader:
    """A file as TensorFlow reads it: lines end with a line feed, and returns are left out."""

    def __init__(self, path, mode):
        text = Path(path).read_bytes().decode("utf-8").replace("\r", "")
        self.lines = io.StringIO(text, newline="\n")

    def __enter__(self):
        return self.lines

    def __exit__(self, *_):
        pass


class Flags(types.SimpleNamespace):
    def define(self, name, default, _):
        setattr(self, name, default)


def google_modules(folder):
    """The two scripts, and the values of their flags."""
    values = Flags()
    flags = types.SimpleNamespace(
        FLAGS=values, DEFINE_string=values.define, DEFINE_bool=values.define, DEFINE_integer=values.define,
        DEFINE_float=values.define)
    sys.modules["tensorflow"] = types.SimpleNamespace(flags=flags, gfile=types.SimpleNamespace(GFile=Reader))
    sys.modules["six"] = types.SimpleNamespace(PY2=False, PY3=True)
    sys.path.insert(0, str(folder))
    import create_pretraining_data
    import tokenization

    return create_pretraining_data, tokenization, values


def instances(modules, inputs, vocabulary, cased, **changed):
    create_pretraining_data, tokenization, flags = modules
    options = {
        "max_seq_length": 128, "dupe_factor": 10, "short_seq_prob": 0.1, "masked_lm_prob": 0.15,
        "max_predictions_per_seq": 20, "random_seed": 12345, "do_whole_word_mask": False, **changed}
    flags.do_whole_word_mask = options["do_whole_word_mask"]
    tokenizer = tokenization.FullTokenizer(vocab_file=vocabulary, do_lower_case=not cased)
    made = create_pretraining_data.create_training_instances(
        inputs, tokenizer, options["max_seq_length"], options["dupe_factor"], options["short_seq_prob"],
        options["masked_lm_prob"], options["max_predictions_per_seq"], random.Random(options["random_seed"]))
    names = ["tokens", "segment_ids", "is_random_next", "masked_lm_positions", "masked_lm_labels"]
    return options, [{name: getattr(instance, name) for name in names} for instance in made]


def small_text():
    """Documents of 1 to 12 sentences; lines of spaces, empty lines in a row, lines without tokens."""
    draw = random.Random(7)
    lines = []
    for _ in range(8):
        for _ in range(draw.choice([1, 2, 3, 5, 8, 12])):
            words = [draw.choice(WORDS) for _ in range(draw.choice([1, 2, 4, 7, 11, 30]))]
            lines.append(draw.choice(["", " ", "\u3000"]) + " ".join(words) + draw.choice([".", " !", "\r", "\t"]))
        lines += draw.choice([[""], ["", ""], [" \t"], ["\x1c"], ["\u200b", ""]])
    # A document without tokens; a line that a return breaks only for some.
    return "\n".join(["\u200b", ""] + lines + ["the cat\rfish", "talk"])


def fixtures(modules, folder):
    _, tokenization, _ = modules
    vocabulary, one, two = (Path("/tmp") / f"google-instances-{name}.txt" for name in ("vocab", "one", "two"))
    # A token that comes twice has its last id, and its first place among the words that replace others.
    tokens = VOCABULARY + ["cat", " ##x "]
    vocabulary.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    texts = [small_text(), "walked fishing.\n\nthe unhappy fox.\n"]
    for path, text in zip((one, two), texts):
        path.write_bytes(text.encode("utf-8"))
    cases = []
    for seed, length, whole_word in [(12345, 32, 0), (12345, 32, 1), (0, 16, 0), (0, 16, 1), (2**40 + 3, 48, 0), (2**40 + 3, 48, 1)]:
        options, made = instances(
            modules, [one, two], vocabulary, False, max_seq_length=length, dupe_factor=2, random_seed=seed,
            max_predictions_per_seq=5, masked_lm_prob=0.25, do_whole_word_mask=bool(whole_word))
        rows = [
            [" ".join(i["tokens"]), sum(i["segment_ids"]), int(i["is_random_next"]), i["masked_lm_positions"],
             " ".join(i["masked_lm_labels"])] for i in made]
        assert all(i["segment_ids"] == sorted(i["segment_ids"]) for i in made)
        cases.append({"options": options, "instances": rows})
    dump(folder / "cloze/tests/fixtures/google_instances.json", {"vocabulary": tokens, "texts": texts, "cases": cases})

    draw = random.Random(3)
    short = [part for part in PARTS if len(part) < 20]
    strings = PARTS + ["".join(draw.choice(short) for _ in range(draw.randint(2, 6))) for _ in range(300)]
    tokenizers = [tokenization.FullTokenizer(vocabulary, do_lower_case=lower) for lower in (True, False)]
    rows = [[text] + [" ".join(tokenizer.tokenize(text)) for tokenizer in tokenizers] for text in strings]
    dump(folder / "cloze-tokenizer/tests/fixtures/google_tokens.json", {
        "unicode": unicodedata.unidata_version, "vocabulary": tokens, "columns": "text, uncased, cased", "rows": rows})


def dump(path, value):
    """As JSON with one row a line."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("],[\"", "],\n[\"")
    path.write_text(text + "\n", encoding="utf-8")
    print(path, len(text))


def compare(made, path):
    ours = [json.loads(line) for line in open(path, encoding="utf-8")]
    for at, (a, b) in enumerate(zip(made, ours)):
        different = [name for name in a if a[name] != b[name]]
        if different:
            sys.exit(f"instance {at} differs in {different}:\n{a}\n{b}")
    if len(made) != len(ours):
        sys.exit(f"{len(made)} instances, {len(ours)} in {path}")
    print(f"{len(made)} instances are the same")


def characters(modules, vocabulary):
    """A context for each character in which accents, case, punctuation and sigmas show."""
    _, tokenization, _ = modules
    tokenizers = [tokenization.BasicTokenizer(do_lower_case=lower) for lower in (True, False)]
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:
            c = chr(code)
            text = f"{c} a{c}b {c}\u03a3 A{c}\u03a3 A\u03a3{c} A\u03a3{c}A \u302f{c}\U0001d165"
            print(json.dumps([text] + [tokenizer.tokenize(text) for tokenizer in tokenizers]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["fixtures", "instances", "characters"])
    parser.add_argument("google", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--input", nargs="+")
    parser.add_argument("--vocab")
    parser.add_argument("--output")
    parser.add_argument("--compare")
    parser.add_argument("--cased", action="store_true")
    parser.add_argument("--whole-word", dest="do_whole_word_mask", action="store_true")
    parser.add_argument("--seed", dest="random_seed", type=int, default=12345)
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--max-predictions-per-seq", type=int, default=20)
    parser.add_argument("--dupe-factor", type=int, default=10)
    arguments = parser.parse_args()
    modules = google_modules(arguments.google)
    if arguments.what == "fixtures":
        fixtures(modules, arguments.folder)
    elif arguments.what == "characters":
        characters(modules, arguments.vocab)
    else:
        names = ["do_whole_word_mask", "random_seed", "max_seq_length", "max_predictions_per_seq", "dupe_factor"]
        changed = {name: getattr(arguments, name) for name in names}
        _, made = instances(modules, arguments.input, arguments.vocab, arguments.cased, **changed)
        if arguments.output:
            with open(arguments.output, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(instance, ensure_ascii=False) + "\n" for instance in made)
        if arguments.compare:
            compare(made, arguments.compare)


if __name__ == "__main__":
    main()
