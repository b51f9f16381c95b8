"""Compares the losses of a run with reference losses, step by step.

    compare_losses.py RUN_DIR/trainer_state.json tests/fixtures/losses_mrpc.json [1e-3]

Prints the largest relative difference; fails above the last number, 1e-3 unless given.
"""

import json
import sys

state, reference = (json.load(open(path)) for path in sys.argv[1:3])
tolerance = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-3
found = {entry["step"]: entry for entry in state["log_history"] if "loss" in entry}
worst = 0.0
for step, expected in enumerate(reference["losses"], start=1):
    difference = abs(found[step]["loss"] / expected - 1)
    worst = max(worst, difference)
    if difference > tolerance:
        print(f"step {step}: loss {found[step]['loss']}, expected {expected}")
print(f"{len(reference['losses'])} steps, largest relative difference {worst:.1e}")
sys.exit(worst > tolerance)
