"""ONNX Runtime's forward of a BERT: `onnx_forward.py --model FILE.onnx --threads N`."""

import argparse

import onnxruntime
from protocol import Server


class Model:
    def __init__(self, arguments):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.model = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
        self.names = [given.name for given in self.model.get_inputs()]

    def prepare(self, parts):
        self.inputs = [{name: getattr(part, name) for name in self.names} for part in parts]

    def run(self):
        return [self.model.run(["last_hidden_state", "pooler_output"], inputs) for inputs in self.inputs]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    Server(Model(parser.parse_args())).serve()
