"""PyTorch's forward of a BERT: `torch_forward.py --model DIR --precision f32|bf16 --threads N [--compile]`."""

import argparse

import torch
from protocol import Server
from transformers import BertModel

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Model:
    def __init__(self, arguments):
        torch.set_num_threads(arguments.threads)
        torch.set_num_interop_threads(1)
        self.model = BertModel.from_pretrained(arguments.model, dtype=DTYPES[arguments.precision]).eval()
        self.compile = arguments.compile
        if self.compile:
            # Weights are constants ("freezing"), so that they are packed once.
            torch._dynamo.config.recompile_limit = 64
            torch._inductor.config.freezing = True

    def prepare(self, parts):
        self.inputs = []
        for part in parts:
            inputs = {
                "input_ids": torch.from_numpy(part.input_ids),
                "token_type_ids": torch.from_numpy(part.token_type_ids),
            }
            if not part.full:
                inputs["attention_mask"] = torch.from_numpy(part.attention_mask)
            self.inputs.append(inputs)
        self.call = self.model
        if self.compile:
            # A batch of one shape is compiled for that shape, which is the fastest. For several shapes one code
            # for all has to do: compiling takes too long.
            torch._dynamo.reset()
            self.call = torch.compile(self.model, dynamic=len(parts) > 1)

    def run(self):
        with torch.inference_mode():
            outputs = [self.call(**inputs) for inputs in self.inputs]
        return [(output.last_hidden_state, output.pooler_output) for output in outputs]


def to_numpy(results):
    return [(hidden.float().numpy(), pooled.float().numpy()) for hidden, pooled in results]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", choices=DTYPES, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    Server(Model(parser.parse_args()), to_numpy).serve()
