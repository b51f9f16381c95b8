"""What is measured: the sizes of models, the shapes of batches, and how many operations they take."""

import json
from dataclasses import dataclass
from pathlib import Path

REAL_LENGTHS = json.loads(Path(__file__).with_name("lengths.json").read_text())


@dataclass(frozen=True)
class Shape:
    name: str
    lengths: tuple
    # Into how many rectangles peers cut the batch. Cloze takes it as it is.
    buckets: int = 1

    @property
    def sequences(self):
        return len(self.lengths)

    @property
    def rows(self):
        """Rows that a peer computes at least, padding included; good for ordering by size."""
        lengths, size = sorted(self.lengths), self.sequences // self.buckets
        return sum(size * max(lengths[at : at + size]) for at in range(0, self.sequences, size))


def rectangle(sequences, length):
    return Shape(f"{sequences}×{length}", (length,) * sequences)


REAL = Shape("real lengths", tuple(REAL_LENGTHS))
REAL_BUCKETS = Shape("real lengths, 4 buckets", tuple(REAL_LENGTHS), buckets=4)

FORWARD = {
    "1x16": rectangle(1, 16),
    "1x128": rectangle(1, 128),
    "8x128": rectangle(8, 128),
    "32x128": rectangle(32, 128),
    "4x512": rectangle(4, 512),
    "real": REAL,
    "real4": REAL_BUCKETS,
}
QUICK_FORWARD = ["1x16", "1x128", "real4"]

# Size of the model and shape.
TRAIN = {
    "base-8x128": ("base", rectangle(8, 128)),
    "mini-32x128": ("mini", rectangle(32, 128)),
    "base-real": ("base", REAL),
    "tiny-2x16": ("tiny", rectangle(2, 16)),
}
# The last is for trying the benchmark out.
DEFAULT_TRAIN = ["base-8x128", "mini-32x128", "base-real"]
QUICK_TRAIN = ["mini-32x128"]

# hidden_size, num_hidden_layers, intermediate_size; heads have 64 each.
SIZES = {"tiny": (128, 2, 512), "mini": (256, 4, 1024), "base": (768, 12, 3072)}


def size_flag(size):
    """A size as the workers take it."""
    return ",".join(map(str, SIZES[size]))


def forward_flops(size, lengths):
    """Additions and multiplications of the products of matrices, for tokens that exist: a product of [m, k] and
    [k, n] has 2·m·k·n. Softmax, LayerNorm and the like are not counted."""
    hidden, layers, inner = SIZES[size]
    a_token = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    attention = sum(2 * 2 * length * length * hidden for length in lengths)
    pooler = 2 * hidden * hidden * len(lengths)
    return layers * (sum(lengths) * a_token + attention) + pooler


def repetitions(size, lengths):
    """Measured runs in a round: enough to be worth starting a process for, at most 20."""
    return max(1, min(20, round(60e9 / forward_flops(size, lengths))))
