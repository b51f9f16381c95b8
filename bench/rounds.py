"""Takes turns: in every round each contender runs once, so that a busy neighbour slows all of them alike.

Peers are worker processes that stay; how one talks with them stands in peers/protocol.py. Cloze is a new process in
every round. Both are asked alike: prepare, run.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

# A worker that has not answered for so long will not. Compiling a large model on a busy machine takes minutes.
PATIENCE_SECONDS = 900
# As long as less than this share of the memory is available, no further worker is started: those that are left run in
# a second group, beside Cloze again.
MEMORY_RESERVE = 0.3


class PeerFailed(Exception):
    """Why a contender gave no figure; it becomes a note below the table."""


class Worker:
    """A peer in a process of its own."""

    def __init__(self, name, command, environment, log):
        self.name, self.command, self.environment, self.log = name, command, environment, log
        self.process = None

    def start(self):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.log, "ab"), text=True,
        )  # fmt: skip

    def running(self):
        return self.process is not None

    def ask(self, job):
        timer = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        timer.start()
        try:
            print(json.dumps(job), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise PeerFailed(f"ended with {self.process.wait()}; see {os.path.basename(self.log)}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def prepare(self, shape, batch):
        answer = self.ask({"do": "prepare", "batch": str(batch), "buckets": shape.buckets})
        return answer | {"seconds_since_start": time.perf_counter() - self.started}

    def run(self, repetitions, output=None):
        return self.ask({"do": "run", "repetitions": repetitions, "output": output and str(output)})

    def stop(self):
        if self.process is None:
            return
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


class Cloze:
    """`cloze bench`, one process a run, which warms up by itself. `arguments(shape)` are its flags."""

    def __init__(self, name, arguments, log):
        self.name, self.arguments, self.log = name, arguments, log

    def running(self):
        return True

    def prepare(self, shape, batch):
        self.shape = shape
        return {}

    def run(self, repetitions, output=None):
        command = [*self.arguments(self.shape), "--repetitions", str(repetitions), "--json"]
        if output:
            command += ["--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        with open(self.log, "a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            raise PeerFailed((done.stderr.strip().splitlines() or ["no message"])[-1])
        return json.loads(done.stdout)


def measure(cloze, peers, shapes, rounds, batches, repetitions, outputs, also=()):
    """Measures all shapes. Gives {shape: {contender: {"rounds": [answers], "note": …}}}.

    `batches`, `repetitions` and `outputs` are functions of a shape: its file, its runs in a round, and where the
    contender of a name shall write its result.

    `also` are contenders that are a new process in every round, like Cloze.

    Every answer of a peer also has "cloze_milliseconds": what Cloze took in the same round.
    """
    # From small to large: a worker that stays holds what its largest shape needed, and its memory is told for each.
    shapes = sorted(shapes, key=lambda shape: shape.rows)
    results = {shape.name: {} for shape in shapes}
    waiting = list(peers)
    first_group = True
    while waiting or first_group:
        group = []
        try:
            while waiting and (not group or available_memory() > MEMORY_RESERVE):
                peer = waiting.pop(0)
                group.append(peer)
                progress(f"starting {peer.name}")
                start(peer, shapes, batches, results)
            for shape in shapes:
                others = [*group, *(also if first_group else [])]
                take_turns(cloze, others, shape, rounds, batches, repetitions, outputs, results[shape.name])
        finally:
            for peer in group:
                peer.stop()
        first_group = False
    return results


def start(peer, shapes, batches, results):
    """Starts a worker and waits for its first result, on the smallest shape."""
    entry = results[shapes[0].name].setdefault(peer.name, {"rounds": []})
    try:
        peer.start()
        entry["first_result_seconds"] = peer.prepare(shapes[0], batches(shapes[0]))["seconds_since_start"]
        entry["ready"] = True
    except (PeerFailed, OSError) as error:
        entry["note"] = str(error)
        peer.stop()


def take_turns(cloze, peers, shape, rounds, batches, repetitions, outputs, results):
    turns = []
    for peer in peers:
        entry = results.setdefault(peer.name, {"rounds": []})
        if not peer.running():
            entry.setdefault("note", "did not start, or ended; see the smaller shapes")
            continue
        try:
            if not entry.pop("ready", False):
                peer.prepare(shape, batches(shape))
            turns.append(peer)
        except PeerFailed as error:
            failed(peer, entry, error)
    cloze.prepare(shape, batches(shape))
    for number in range(rounds):
        progress(f"{shape.name}, round {number + 1} of {rounds}: Cloze and {len(turns)} others")
        # Nobody always runs after the same neighbour.
        at = number % (len(turns) + 1)
        answers = {}
        for contender in [*turns, cloze][at:] + [*turns, cloze][:at]:
            output = outputs(shape, contender.name) if number == 0 else None
            try:
                answers[contender.name] = contender.run(repetitions(shape), output)
            except PeerFailed as error:
                failed(contender, results.setdefault(contender.name, {"rounds": []}), error)
        turns = [peer for peer in turns if peer.name in answers]
        cloze_milliseconds = answers.get(cloze.name, {}).get("milliseconds")
        for name, answer in answers.items():
            entry = results.setdefault(name, {"rounds": []})
            entry["rounds"].append(answer | {"cloze_milliseconds": cloze_milliseconds})


def failed(contender, entry, error):
    progress(f"{contender.name} failed: {error}")
    entry["note"] = str(error)
    if isinstance(contender, Worker) and contender.process and contender.process.poll() is not None:
        contender.stop()


def available_memory():
    """Share of the memory that is available."""
    with open("/proc/meminfo") as file:
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in file}
    return sizes["MemAvailable"] / sizes["MemTotal"]


def progress(text):
    width = shutil.get_terminal_size().columns
    print(time.strftime("%H:%M:%S"), text[: max(40, width - 10)], file=sys.stderr, flush=True)
