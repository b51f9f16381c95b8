"""Makes the fixture of activations: what transformers computes under each name of `hidden_act`.

    python make_activation_fixture.py crates/cloze/tests/fixtures/activations.json

For each name: `x`, and in float64 `y` and `dy`, the derivative.
"""

import json
import sys
from pathlib import Path

import torch
from transformers.activations import ACT2FN

NAMES = [
    "gelu", "gelu_python", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh",
    "quick_gelu", "silu", "swish", "relu", "tanh",
]

x = torch.tensor([-30.0, -6.5, -3.0, -1.25, -0.5, -0.001, 0.001, 0.75, 1.0, 2.5, 7.0, 40.0], dtype=torch.float64)
x = x.float().double()
result = {"x": x.tolist()}
for name in NAMES:
    own = x.clone().requires_grad_()
    y = ACT2FN[name](own)
    y.sum().backward()
    result[name] = {"y": y.tolist(), "dy": own.grad.tolist()}
Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")
