"""The shortest way from a text to an answer with transformers: `start_torch.py MODEL TEXT --threads N`."""

import json
import sys

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

model_path, text, _, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
tokenizer = AutoTokenizer.from_pretrained(model_path)
model = BertForSequenceClassification.from_pretrained(model_path).eval()
with torch.inference_mode():
    logits = model(**tokenizer(text, return_tensors="pt")).logits
print(json.dumps(logits.softmax(dim=1)[0].tolist()))
