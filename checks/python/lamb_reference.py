"""Prints what timm's LAMB makes of three small tensors in four steps, for the test of `trust_ratios`.

    pip install timm
    python lamb_reference.py

A matrix with decay, a vector without, and zeros with decay; gradients far above the norm at which they are clipped.
"""

import math

import torch
from timm.optim.lamb import Lamb

SIZES, DECAYS = (30, 7, 5), (0.01, 0.0, 0.01)
RATES = (0.01, 0.02, 0.02, 0.015)


def main():
    place = 0
    tensors, gradients = [], []
    for tensor, size in enumerate(SIZES):
        numbers = range(place, place + size)
        values = [0.0 if tensor == 2 else math.sin(1.0 + i) for i in numbers]
        tensors.append(torch.nn.Parameter(torch.tensor(values, dtype=torch.float64)))
        gradients.append([torch.tensor([math.cos(i * (t + 2.0)) for i in numbers], dtype=torch.float64) for t in range(4)])
        place += size
    groups = [{"params": [tensor], "weight_decay": decay} for tensor, decay in zip(tensors, DECAYS)]
    optimizer = Lamb(groups, betas=(0.9, 0.999), eps=1e-6, max_grad_norm=1.0)
    for step, rate in enumerate(RATES):
        for tensor, own in zip(tensors, gradients):
            tensor.grad = own[step]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    print([tensor.tolist()[::4] for tensor in tensors])


if __name__ == "__main__":
    main()
