"""Makes lengths.json: lengths of 32 sequences as they are in real text.

    python bench/lengths.py

Lengths of sentences are skewed: many short ones, few long ones. A log-normal distribution with sigma 0.6 is close to
what one finds in English prose. Its mean is exp(mu + sigma²/2), which gives mu for a mean of 40 tokens.
"""

import json
import math
import random
from pathlib import Path

SEQUENCES = 32
MEAN = 40
SIGMA = 0.6
SHORTEST, LONGEST = 4, 128
SEED = 1

FILE = Path(__file__).with_name("lengths.json")


def make_lengths():
    draws = random.Random(SEED)
    mu = math.log(MEAN) - SIGMA**2 / 2
    return [min(LONGEST, max(SHORTEST, round(draws.lognormvariate(mu, SIGMA)))) for _ in range(SEQUENCES)]


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_lengths()) + "\n")
