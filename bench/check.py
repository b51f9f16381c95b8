"""Do the contenders compute the same? Their outputs beside those of PyTorch in f32, with the same weights and ids."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# The largest difference of a single number in f32: hidden states are of size 1 to 5, sums have another order in
# every program, and twelve layers add their roundings. In bf16 and int8 single numbers are far off now and then; what
# is bounded is the cosine of whole rows, the worst of all tokens. A bf16 has 8 bits, an int8 that is scaled by rows 7.
F32_DIFFERENCE = 1e-4
WORST_COSINE = {"bf16": 0.999, "int8": 0.97}


def reference(batch, model, output, environment, log):
    """What PyTorch makes of a batch in f32, computed once."""
    if output.exists():
        return load_file(output)
    script = Path(__file__).parent / "peers" / "torch_forward.py"
    command = [sys.executable, str(script), "--model", str(model), "--precision", "f32"]
    command += ["--threads", environment["OMP_NUM_THREADS"]]
    jobs = [
        {"do": "prepare", "batch": str(batch), "buckets": 1},
        {"do": "run", "repetitions": 1, "output": str(output)},
    ]
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    with open(log, "ab") as errors:
        subprocess.run(
            command, input=lines, env=environment, stdout=subprocess.DEVNULL, stderr=errors, text=True, check=True
        )
    return load_file(output)


def compare(path, batch, expected, precision):
    """{"difference", "cosine", "agrees"} of the outputs in a file, or {"error"}."""
    found = load_file(path)
    if "input_ids" in found and not np.array_equal(found["input_ids"], batch["input_ids"]):
        return {"error": "other input_ids"}
    difference, cosine = 0.0, 1.0
    # candle's BERT has no pooler.
    names = [name for name in ("last_hidden_state", "pooler_output") if name in found]
    for name in names:
        if found[name].shape != expected[name].shape:
            return {"error": f"{name} is {found[name].shape}, expected {expected[name].shape}"}
        ours, theirs = found[name].astype(np.float64), expected[name].astype(np.float64)
        difference = max(difference, float(np.abs(ours - theirs).max()))
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = min(cosine, float(((ours * theirs).sum(axis=1) / norms).min()))
    # Written so that a number that is none does not agree.
    agrees = difference <= F32_DIFFERENCE if precision == "f32" else cosine >= WORST_COSINE[precision]
    return {"difference": difference, "cosine": cosine, "agrees": bool(agrees)}
