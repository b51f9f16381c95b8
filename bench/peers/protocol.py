"""How a worker talks with the benchmark: a JSON object a line, in on standard input, out on standard output.

    {"do": "prepare", "batch": FILE, "buckets": 1}   -> {"milliseconds": the first run}
    {"do": "run", "repetitions": 3}                  -> {"milliseconds": median, "peak_rss_bytes": …}
    {"do": "run", "repetitions": 3, "output": FILE}  -> the same; the last result is written to FILE

What went wrong is answered as {"error": …}. The worker ends when its standard input does.

A batch is a safetensors file with input_ids and token_type_ids, both [tokens], and lengths [sequences]: sequences one
after the other, without padding. Peers need rectangles, so `padded_parts` makes them.
"""

import json
import os
import statistics
import sys
import time
import traceback
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file, save_file

# A run that takes longer than this does not profit from another one before it, in milliseconds.
LONG_RUN = 500.0
# After a run, threads of a library look for more work for some time; they would take the cores from the next contender.
SECONDS_TO_REST = 0.1


@dataclass
class Part:
    """A rectangle of sequences, padded on the right to its longest."""

    input_ids: np.ndarray  # [sequences, length], int64
    token_type_ids: np.ndarray  # [sequences, length], int64
    attention_mask: np.ndarray  # [sequences, length], int64, 1 for tokens that exist
    sequences: list  # their places in the batch

    @property
    def full(self):
        return bool(self.attention_mask.all())


def padded_parts(path, buckets):
    """Reads a batch: one rectangle, or as many as `buckets` says, of equally many sequences sorted by length."""
    batch = load_file(path)
    lengths = batch["lengths"].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    order = np.arange(len(lengths)) if buckets == 1 else np.argsort(lengths, kind="stable")
    parts = []
    for sequences in np.array_split(order, buckets):
        shape = (len(sequences), int(lengths[sequences].max()))
        part = Part(*(np.zeros(shape, dtype=np.int64) for _ in range(3)), sequences=sequences.tolist())
        for row, sequence in enumerate(sequences):
            first, end, length = starts[sequence], starts[sequence + 1], lengths[sequence]
            part.input_ids[row, :length] = batch["input_ids"][first:end]
            part.token_type_ids[row, :length] = batch["token_type_ids"][first:end]
            part.attention_mask[row, :length] = 1
        parts.append(part)
    return parts


def write_result(path, parts, results):
    """Writes what a model gave for its rectangles in the order of the batch, without padding.

    A result is hidden states [sequences, length, hidden] and pooled rows [sequences, hidden], or None for a model
    that has no pooler.
    """
    hidden, pooled = {}, {}
    for part, (states, rows) in zip(parts, results, strict=True):
        for row, sequence in enumerate(part.sequences):
            hidden[sequence] = states[row, : part.attention_mask[row].sum()]
            if rows is not None:
                pooled[sequence] = rows[row]
    places = range(len(hidden))
    tensors = {"last_hidden_state": np.concatenate([hidden[place] for place in places]).astype(np.float32)}
    if pooled:
        tensors["pooler_output"] = np.stack([pooled[place] for place in places]).astype(np.float32)
    save_file(tensors, path)


def forget_peak():
    """Lets the kernel count the peak of resident memory anew, so that loading and compiling are not part of it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # then the peak is that of the whole process


def peak_rss_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def timed(work):
    start = time.perf_counter()
    result = work()
    return 1e3 * (time.perf_counter() - start), result


class Server:
    """Answers jobs. `model` has `prepare(parts)` and `run()`, which gives the results of the parts as torch or numpy
    arrays; what `to_numpy` makes of them is written on demand."""

    def __init__(self, model, to_numpy=lambda results: results):
        self.model, self.to_numpy = model, to_numpy
        self.parts, self.first = None, 0.0

    def answer(self, job):
        if job["do"] == "prepare":
            self.parts = padded_parts(job["batch"], job["buckets"])
            self.model.prepare(self.parts)
            self.first, _ = timed(self.model.run)
            forget_peak()
            return {"milliseconds": self.first}
        # The others had the caches since our last turn; Cloze, which is a new process each time, warms up, too.
        if self.first < LONG_RUN:
            self.model.run()
        times = []
        for _ in range(job["repetitions"]):
            milliseconds, results = timed(self.model.run)
            times.append(milliseconds)
        answer = {"milliseconds": statistics.median(times), "peak_rss_bytes": peak_rss_bytes()}
        if job.get("output"):
            write_result(job["output"], self.parts, self.to_numpy(results))
        time.sleep(SECONDS_TO_REST)
        return answer

    def serve(self):
        # Libraries print to standard output as they like: what they print goes to standard error.
        output = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                answer = self.answer(json.loads(line))
            except Exception as error:
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]}
            print(json.dumps(answer), file=output, flush=True)
