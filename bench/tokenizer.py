"""Text to ids and offsets, beside Hugging Face's tokenizers: what `throughput` in checks/tokenizer-sweep prints.

It needs a vocabulary and texts, which are the user's, so this part is measured only when they are given.
"""

import subprocess
from pathlib import Path

from rounds import progress

ROOT = Path(__file__).resolve().parent.parent


def run(options):
    """{"text": what was printed} or {"note": why nothing was}"""
    progress("tokenizer: building and measuring")
    command = ["cargo", "run", "--release", "--quiet", "--manifest-path", "checks/tokenizer-sweep/Cargo.toml"]
    command += ["--bin", "throughput", "--", *(str(path.resolve()) for path in options.tokenizer)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        return {"note": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]}
    return {"text": done.stdout}
