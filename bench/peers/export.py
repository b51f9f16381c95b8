"""Makes of a Hugging Face model what ONNX Runtime and OpenVINO run: `export.py MODEL DIR`.

    model.onnx           the graph
    fused.onnx           with ONNX Runtime's fusions for BERT
    dynamic_int8.onnx    with its dynamic quantisation
    model.xml            for OpenVINO, f32
    static_int8.xml      OpenVINO's static quantisation, calibrated on random tokens as the benchmark has them
    classifier.onnx      fused, with the classifier, for `start.py`

A file that is there is not made again.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from plain_bert import PlainBert
from torch import nn
from transformers import BertForSequenceClassification

INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
CALIBRATION_BATCHES, CALIBRATION_SEQUENCES, CALIBRATION_LENGTH = 16, 2, 128
# The same sums in another order, through twelve layers.
SAME_OUTPUT = 1e-4


class Classifier(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.bert, self.classifier = PlainBert(model.bert), model.classifier

    def forward(self, *inputs):
        return self.classifier(self.bert(*inputs)[1])


def export(module, outputs, path):
    sequence = {0: "sequences", 1: "length"}
    axes = {name: sequence for name in INPUTS} | {"last_hidden_state": sequence}
    axes |= {name: {0: "sequences"} for name in ("pooler_output", "logits")}
    example = tuple(torch.ones((2, 16), dtype=torch.int64) for _ in INPUTS)
    # The exporter gives a module its mode back, and a new module would be in training.
    module.eval()
    with torch.no_grad():
        torch.onnx.export(
            module, example, path, input_names=INPUTS, output_names=outputs, opset_version=17, dynamo=False,
            dynamic_axes={name: axes[name] for name in [*INPUTS, *outputs]},
        )  # fmt: skip


def fuse(model, source, path):
    """Fuses, and makes sure that attention was found in every layer."""
    config = model.config
    fused = optimizer.optimize_model(
        str(source), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    )
    found = fused.get_fused_operator_statistics()["Attention"]
    assert found == config.num_hidden_layers, f"attention was fused in {found} of {config.num_hidden_layers} layers"
    fused.save_model_to_file(str(path))


def quantise_dynamically(source, path):
    # Inference of types does not know the fused operations; what they give is f32.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(source, path, weight_type=QuantType.QInt8, extra_options=options)


def quantise_statically(source, path, vocab_size):
    import nncf
    import openvino

    random = np.random.default_rng(1)
    shape = (CALIBRATION_SEQUENCES, CALIBRATION_LENGTH)
    items = []
    for _ in range(CALIBRATION_BATCHES):
        ids = random.integers(0, vocab_size, shape)
        types = np.broadcast_to(np.arange(shape[1]) >= shape[1] // 2, shape).astype(np.int64)
        items.append(dict(zip(INPUTS, [ids, types, np.ones(shape, dtype=np.int64)])))
    model = nncf.quantize(
        openvino.Core().read_model(source), nncf.Dataset(items), model_type=nncf.ModelType.TRANSFORMER,
        subset_size=CALIBRATION_BATCHES,
    )  # fmt: skip
    openvino.save_model(model, path, compress_to_fp16=False)


def check(model, path):
    """Padding included, the exported graph gives what transformers gives."""
    ids = torch.randint(0, model.config.vocab_size, (2, 24))
    mask = torch.ones_like(ids)
    mask[1, 15:] = 0
    types = torch.zeros_like(ids)
    with torch.no_grad():
        expected = model.bert(input_ids=ids, token_type_ids=types, attention_mask=mask)
    graph = onnxruntime.InferenceSession(str(path))
    hidden, pooled = graph.run(None, dict(zip(INPUTS, [ids.numpy(), types.numpy(), mask.numpy()])))
    there = mask.bool().numpy()
    difference = np.abs(hidden - expected.last_hidden_state.numpy())[there].max()
    difference = max(difference, np.abs(pooled - expected.pooler_output.numpy()).max())
    assert difference < SAME_OUTPUT, f"the exported graph differs from transformers by {difference}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    model = BertForSequenceClassification.from_pretrained(arguments.model).eval()

    def make(name, work):
        """Under another name first: a file with its own name is whole."""
        path = folder / name
        if path.exists():
            return
        print(f"making {path}", flush=True)
        partial = path.with_name(f"partial_{name}")
        work(partial)
        if path.suffix == ".xml":
            # The graph does not name the file with its weights: it is the one beside it.
            partial.with_suffix(".bin").rename(path.with_suffix(".bin"))
        partial.rename(path)

    def plain(path):
        export(PlainBert(model.bert), ["last_hidden_state", "pooler_output"], path)
        check(model, path)

    def classifier(path):
        graph = path.with_name("classifier_graph.onnx")
        export(Classifier(model), ["logits"], graph)
        fuse(model, graph, path)
        graph.unlink()

    def openvino_f32(path):
        import openvino

        openvino.save_model(openvino.convert_model(folder / "model.onnx"), path, compress_to_fp16=False)

    make("model.onnx", plain)
    make("fused.onnx", lambda path: fuse(model, folder / "model.onnx", path))
    make("dynamic_int8.onnx", lambda path: quantise_dynamically(folder / "fused.onnx", path))
    make("classifier.onnx", classifier)
    make("model.xml", openvino_f32)
    make("static_int8.xml", lambda path: quantise_statically(folder / "model.xml", path, model.config.vocab_size))


if __name__ == "__main__":
    main()
