"""What the figures depend on: the machine, the versions, and the environment of the peers."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ["torch", "transformers", "tokenizers", "onnxruntime", "openvino", "nncf", "onnx", "numpy", "safetensors"]
# The instructions that decide which kernels a program takes.
TELLING_FLAGS = ["avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8"]


def cores():
    return len(os.sched_getaffinity(0))


def described(root, cloze, threads):
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    numbers = [f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    return {
        "processor": ", ".join([fields.get("model name", platform.machine()), *numbers]),
        "instructions": " ".join(flag for flag in TELLING_FLAGS if flag in flags),
        "cores": cores(),
        "threads": threads,
        "memory_gib": round(int(memory.split()[1]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "cloze": f"{first_line([str(cloze), '--version'])}, {commit(root)}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "rustc": first_line(["rustc", "--version"]),
    }


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def commit(root):
    name = first_line(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    # The table itself is written into docs.
    code = ["diff", "--quiet", "HEAD", "--", ".", ":!docs"]
    changed = subprocess.run(["git", "-C", str(root), *code], capture_output=True).returncode
    return f"commit {name}" + (" with changes" if changed else "")


def environment(threads, cache):
    """Environment of a peer: so many threads for every library that would choose for itself, and no network."""
    variables = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return (
        os.environ
        | {name: str(threads) for name in variables}
        | {
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "PYTHONWARNINGS": "ignore",
            # torch.compile calls programs of the virtual environment.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }
    )


def mkl_told(environment, cache):
    """The same environment with a library preloaded that tells MKL to use this processor's instructions, or None
    where there is no C compiler."""
    compiler = c_compiler()
    if compiler is None:
        return None
    library = cache / "mkl_told.so"
    source = Path(__file__).parent / "peers" / "mkl_told.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    preloaded = [str(library), environment.get("LD_PRELOAD", "")]
    return environment | {"LD_PRELOAD": ":".join(filter(None, preloaded))}


def c_compiler():
    return next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def cpp_compiler():
    """torch.compile needs one."""
    return next((name for name in ("g++", "c++", "clang++") if shutil.which(name)), None)
