"""Kills a pre-training again and again, starts it anew each time, and compares its weights with those of a run that
nobody has disturbed.

    python kills.py CLOZE FOLDER [--kills 200] [--steps 12000]

CLOZE is the program; FOLDER is made and removed. The corpus is generated. Every tenth kill comes while a checkpoint is
written: as soon as a folder checkpoint-N.tmp is seen. The number of threads changes from start to start.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import time
from pathlib import Path

WORDS = "red blue green cat dog fox runs sleeps jumps the a over under old young".split()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cloze")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=12000)
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir()
    draw = random.Random(1)
    sentences = [" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) + "." for _ in range(2000)]
    text = "\n".join(sentence + ("\n" if at % 12 == 11 else "") for at, sentence in enumerate(sentences))
    (folder / "corpus.txt").write_text(text + "\n")
    (folder / "config.json").write_text(
        '{"model_type": "bert", "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,'
        ' "intermediate_size": 32, "max_position_embeddings": 64}'
    )
    vocab = [arguments.cloze, "vocab", "--input", folder / "corpus.txt", "--output", folder / "vocab", "--size", "60"]
    subprocess.run(vocab, check=True, capture_output=True)

    def command(output, threads):
        return [
            arguments.cloze, "pretrain", "--input", folder / "corpus.txt", "--tokenizer", folder / "vocab",
            "--config", folder / "config.json", "--steps", str(arguments.steps), "--batch-size", "8", "--phase", "32:0.9",
            "--phase", "64:0.1", "--learning-rate", "1e-3", "--save-steps", "7", "--eval-steps", "500",
            "--output", folder / output, "--threads", str(threads),
        ]  # fmt: skip

    def weights(output):
        return hashlib.sha256((folder / output / "model.safetensors").read_bytes()).hexdigest()

    start = time.time()
    subprocess.run(command("whole", 1), check=True, capture_output=True)
    seconds = time.time() - start
    kills = writing = at_end = 0
    while kills < arguments.kills:
        run = subprocess.Popen(command("killed", draw.randint(1, 2)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.time() + draw.uniform(0.0, seconds / arguments.kills + 0.1)
        while_writing = kills % 10 == 9
        while run.poll() is None and time.time() < until + (10 if while_writing else 0):
            if while_writing and list((folder / "killed").glob("checkpoint-*.tmp")):
                writing += 1
                break
            time.sleep(0.0005)
        if run.poll() is not None:
            at_end += 1
            if run.returncode != 0 or at_end > 1:
                break
            continue
        run.kill()
        run.wait()
        kills += 1
    subprocess.run(command("killed", 2), check=True, capture_output=True)
    same = weights("whole") == weights("killed")
    print(f"{kills} kills, {writing} of them while a checkpoint was written; same weights: {same}")
    shutil.rmtree(folder)
    raise SystemExit(0 if same and kills == arguments.kills else 1)


if __name__ == "__main__":
    main()
