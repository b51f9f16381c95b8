"""The shortest way from a text to an answer with ONNX Runtime: `start_onnx.py GRAPH TOKENIZER TEXT --threads N`."""

import json
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

graph, tokenizer, text, _, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.inter_op_num_threads = 1
model = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
encoding = Tokenizer.from_file(tokenizer).encode(text)
fields = {"input_ids": encoding.ids, "token_type_ids": encoding.type_ids, "attention_mask": encoding.attention_mask}
(logits,) = model.run(None, {name: np.array([values], dtype=np.int64) for name, values in fields.items()})
exponentials = np.exp(logits[0] - logits[0].max())
print(json.dumps((exponentials / exponentials.sum()).tolist()))
