"""BERT's forward written out as transformers did it before it had several kinds of attention.

ONNX Runtime's optimizer looks for this form: in the graph of today's transformers it finds no attention to fuse, and
runs it piece by piece. `export.py` makes sure that outputs are those of transformers.
"""

import math

import torch
from torch import nn


class PlainBert(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, token_type_ids, attention_mask):
        mask = attention_mask.unsqueeze(1).unsqueeze(2).to(torch.float32)
        mask = (1.0 - mask) * -10000.0
        x = self.embed(input_ids, token_type_ids)
        for layer in self.model.encoder.layer:
            attended = self.attend(layer.attention.self, x, mask)
            output = layer.attention.output
            x = output.LayerNorm(output.dense(attended) + x)
            inner = nn.functional.gelu(layer.intermediate.dense(x))
            x = layer.output.LayerNorm(layer.output.dense(inner) + x)
        return x, torch.tanh(self.model.pooler.dense(x[:, 0]))

    def embed(self, input_ids, token_type_ids):
        tables = self.model.embeddings
        positions = tables.position_ids[:, : input_ids.shape[1]]
        x = tables.word_embeddings(input_ids) + tables.token_type_embeddings(token_type_ids)
        return tables.LayerNorm(x + tables.position_embeddings(positions))

    def attend(self, attention, x, mask):
        heads = self.model.config.num_attention_heads
        size = self.model.config.hidden_size // heads

        def split(x):
            return x.view(x.shape[0], x.shape[1], heads, size).permute(0, 2, 1, 3)

        query, key, value = split(attention.query(x)), split(attention.key(x)), split(attention.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(size)
        context = torch.matmul(torch.softmax(scores + mask, dim=-1), value).permute(0, 2, 1, 3).contiguous()
        return context.view(context.shape[0], context.shape[1], heads * size)
