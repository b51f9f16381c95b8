"""OpenVINO's forward of a BERT: `openvino_forward.py --model FILE.xml --precision f32|bf16 --threads N`.

The model may be quantised; `--precision` is then that of what is not.
"""

import argparse

import openvino
from protocol import Server


def compile_model(path, precision, threads):
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    return openvino.Core().compile_model(path, "CPU", settings)


class Model:
    def __init__(self, arguments):
        self.request = compile_model(arguments.model, arguments.precision, arguments.threads).create_infer_request()
        self.names = [given.any_name for given in self.request.model_inputs]

    def prepare(self, parts):
        self.inputs = [{name: getattr(part, name) for name in self.names} for part in parts]

    def run(self):
        results = []
        for inputs in self.inputs:
            # Without copies in or out, where there is only one part; the next part would overwrite a shared result.
            outputs = self.request.infer(inputs, share_inputs=True, share_outputs=len(self.inputs) == 1)
            results.append((outputs["last_hidden_state"], outputs["pooler_output"]))
        return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    Server(Model(parser.parse_args())).serve()
