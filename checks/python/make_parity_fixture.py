"""Makes the parity fixtures: what PyTorch + transformers compute on a tiny random BERT.

    python make_parity_fixture.py crates/cloze/tests/fixtures/parity

One model per activation. Every parameter is random at a scale of 0.3, biases and LayerNorm
too, so that attention is far from uniform and activations reach their tails; sizes are odd;
sequences have unequal lengths and run alone, without padding; dropout is 0. Everything expected
is computed in float64 from the float32 weights and rounded to float32 once. The same run in
float32 is printed beside it: it tells how much of a tolerance float32 itself needs.

Layout, with `gelu`, `gelu_new` and `relu` as DIR:

    settings.json                   sizes, optimizers, schedules
    DIR/config.json                 as transformers reads it
    DIR/model.safetensors           bert.*, cls.* (decoder tied, so absent), classifier.* (3 labels)
    DIR/regression_head.safetensors classifier.* (1 label), to be laid over model.safetensors
    DIR/expected.safetensors        U32 integers, F32 numbers:

    batch.{input_ids,token_type_ids}                   [tokens]       all sequences, one after another
    batch.cu_seqlens                                   [sequences + 1]
    batch.{masked_lm_positions,masked_lm_ids}          [masked]       positions in the packed tokens
    batch.{next_sentence_labels,class_labels}          [sequences]
    batch.regression_targets                           [sequences]
    hidden_states.N                                    [tokens, hidden]  0 is the embeddings' output
    attention_probs.N                                  [sum of heads * length * length]
                                                       by sequence, head, query, key
    pooled_output                                      [sequences, hidden]
    mlm_logits                                         [masked, vocab]
    {nsp,classification,regression}_logits             [sequences, labels]
    {masked_lm,next_sentence,pretraining,classification,regression}_loss   [1]
    {pretraining,classification,regression}.grad.NAME  gradient of that loss, NAME as in model.safetensors
    {bert_adam,adamw}.weights.NAME                     after the steps on the pre-training loss
    {bert_adam,adamw}.{losses,grad_norms,learning_rates}   [steps], before each update
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy, mse_loss
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    get_linear_schedule_with_warmup,
    logging,
)

ACTIVATIONS = ["gelu", "gelu_new", "relu"]
SCALE = 0.3
LABELS = 3
CLS, SEP, MASK, FIRST_ORDINARY_ID = 2, 3, 4, 5

CONFIG = dict(
    vocab_size=99,
    hidden_size=39,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=37,
    max_position_embeddings=23,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    pad_token_id=0,
)
# Length of each sequence and of its first text with [CLS] and [SEP]; the third has no second text,
# and the last fills every position.
LENGTHS = [(13, 8), (7, 4), (3, 3), (23, 6)]
# One sequence has no masked token: a mean of the sequences' means would not be the batch's mean.
MASKED = [2, 3, 9, 14, 25, 31, 37, 38, 44]

# Adam without bias correction takes first steps of about three learning rates. Rates twice as high
# make these ten steps chaotic: float32 alone then strays by more than 1e-4. The decay is ten times
# the usual one, so that leaving it out, or decaying too much, is far above float32's error.
STEPS = 10
BERT_ADAM = dict(
    learning_rate=2e-3, warmup_steps=3, total_steps=16,
    beta1=0.9, beta2=0.999, epsilon=1e-6, weight_decay=0.1, max_grad_norm=1.0,
)
ADAMW = BERT_ADAM | dict(learning_rate=3e-3, epsilon=1e-8)


def make_config(hidden_act, num_labels=LABELS):
    config = BertConfig(**CONFIG, hidden_act=hidden_act, num_labels=num_labels)
    config._attn_implementation = "eager"  # the only one that returns probabilities
    return config


def make_weights(hidden_act):
    """Random values for every tensor of both kinds of model, and for the regression's classifier."""
    rng = np.random.default_rng([20181011, ACTIVATIONS.index(hidden_act)])
    shapes = {}
    for model in (BertForPreTraining, BertForSequenceClassification):
        shapes |= {name: tuple(p.shape) for name, p in model(make_config(hidden_act)).named_parameters()}
    def draw(name, shape):
        value = SCALE * rng.standard_normal(shape)
        return np.float32(1 + value if name.endswith("LayerNorm.weight") else value)
    weights = {name: draw(name, shape) for name, shape in shapes.items()}
    hidden_size = CONFIG["hidden_size"]
    regression_head = {
        "classifier.weight": draw("classifier.weight", (1, hidden_size)),
        "classifier.bias": draw("classifier.bias", (1,)),
    }
    return weights, regression_head


def make_batch():
    rng = np.random.default_rng(1810)
    input_ids, token_type_ids, cu_seqlens = [], [], [0]
    for length, first_length in LENGTHS:
        # A third of the vocabulary, so that tokens repeat and their embeddings' gradients add up.
        ids = rng.integers(FIRST_ORDINARY_ID, FIRST_ORDINARY_ID + 33, length)
        ids[0], ids[first_length - 1], ids[-1] = CLS, SEP, SEP
        input_ids.extend(ids)
        token_type_ids.extend([0] * first_length + [1] * (length - first_length))
        cu_seqlens.append(len(input_ids))
    input_ids = np.array(input_ids)
    masked_lm_ids = input_ids[MASKED].copy()
    assert not set(masked_lm_ids) & {CLS, SEP}
    for index, position in enumerate(MASKED):
        if index % 4 != 3:  # the others keep their token, as some do in training
            input_ids[position] = MASK
    # Labels come from the whole vocabulary; what the token was does not matter to the loss.
    masked_lm_ids[::2] = rng.integers(0, CONFIG["vocab_size"], len(masked_lm_ids[::2]))
    as_u32 = lambda values: np.array(values, dtype=np.uint32)
    return {
        "input_ids": as_u32(input_ids),
        "token_type_ids": as_u32(token_type_ids),
        "cu_seqlens": as_u32(cu_seqlens),
        "masked_lm_positions": as_u32(MASKED),
        "masked_lm_ids": as_u32(masked_lm_ids),
        "next_sentence_labels": as_u32([0, 1, 1, 0]),
        "class_labels": as_u32([0, 2, 1, 2]),
        "regression_targets": np.float32([0.5, -1.25, 2.0, 3.75]),
    }


def load(model_class, config, weights, dtype):
    model = model_class(config).to(dtype)
    names = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in names.items():
            parameter.copy_(torch.from_numpy(weights[name]))
    return model.train()  # dropout is 0


def tensors(batch, dtype):
    return {
        name: torch.from_numpy(value).to(dtype) if value.dtype == np.float32
        else torch.from_numpy(value.astype(np.int64))
        for name, value in batch.items()
    }


def run_sequences(encoder, batch):
    """The encoder on each sequence alone; hidden states packed [tokens, hidden], pooled [sequences, hidden]."""
    cu_seqlens = batch["cu_seqlens"].tolist()
    outputs = [
        encoder(
            input_ids=batch["input_ids"][None, start:end],
            token_type_ids=batch["token_type_ids"][None, start:end],
            output_hidden_states=True,
            output_attentions=True,
        )
        for start, end in zip(cu_seqlens, cu_seqlens[1:])
    ]
    layers = len(outputs[0].hidden_states)
    hidden_states = [torch.cat([o.hidden_states[n][0] for o in outputs]) for n in range(layers)]
    attention_probs = [torch.cat([o.attentions[n].flatten() for o in outputs]) for n in range(layers - 1)]
    pooled_output = torch.cat([o.pooler_output for o in outputs])
    return hidden_states, attention_probs, pooled_output


def pretraining_forward(model, batch):
    hidden_states, attention_probs, pooled_output = run_sequences(model.bert, batch)
    mlm_logits = model.cls.predictions(hidden_states[-1][batch["masked_lm_positions"]])
    nsp_logits = model.cls.seq_relationship(pooled_output)
    masked_lm_loss = cross_entropy(mlm_logits, batch["masked_lm_ids"])
    next_sentence_loss = cross_entropy(nsp_logits, batch["next_sentence_labels"])
    loss = masked_lm_loss + next_sentence_loss
    outputs = {
        **{f"hidden_states.{n}": value for n, value in enumerate(hidden_states)},
        **{f"attention_probs.{n}": value for n, value in enumerate(attention_probs)},
        "pooled_output": pooled_output,
        "mlm_logits": mlm_logits,
        "nsp_logits": nsp_logits,
        "masked_lm_loss": masked_lm_loss,
        "next_sentence_loss": next_sentence_loss,
        "pretraining_loss": loss,
    }
    return loss, outputs


def classification_forward(model, batch):
    _, _, pooled_output = run_sequences(model.bert, batch)
    logits = model.classifier(pooled_output)
    loss = cross_entropy(logits, batch["class_labels"])
    return loss, {"classification_logits": logits, "classification_loss": loss}


def regression_forward(model, batch):
    _, _, pooled_output = run_sequences(model.bert, batch)
    logits = model.classifier(pooled_output)
    loss = mse_loss(logits[:, 0], batch["regression_targets"])
    return loss, {"regression_logits": logits, "regression_loss": loss}


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def is_decayed(name):
    return not name.endswith("bias") and not name.endswith("LayerNorm.weight")


def bert_adam_steps(model, batch):
    """Ten steps of AdamWeightDecayOptimizer and its schedule as google-research/bert has them."""
    o = BERT_ADAM
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()}
    log = []
    for step in range(STEPS):
        if step < o["warmup_steps"]:
            learning_rate = o["learning_rate"] * step / o["warmup_steps"]
        else:
            learning_rate = o["learning_rate"] * (1 - step / o["total_steps"])
        loss, _ = pretraining_forward(model, batch)
        grads = gradients(model, loss)
        norm = math.sqrt(sum((g.double() ** 2).sum().item() for g in grads.values()))
        factor = o["max_grad_norm"] / max(norm, o["max_grad_norm"])
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                grad = grads[name] * factor
                m, v = moments[name]
                m.mul_(o["beta1"]).add_((1 - o["beta1"]) * grad)
                v.mul_(o["beta2"]).add_((1 - o["beta2"]) * grad * grad)
                update = m / (v.sqrt() + o["epsilon"])
                if is_decayed(name):
                    update = update + o["weight_decay"] * parameter
                parameter -= learning_rate * update
        log.append((loss.item(), norm, learning_rate))
    return steps_result("bert_adam", model, log)


def adamw_steps(model, batch):
    """Ten steps of torch.optim.AdamW with transformers' linear schedule."""
    o = ADAMW
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for name, p in named if is_decayed(name)], "weight_decay": o["weight_decay"]},
            {"params": [p for name, p in named if not is_decayed(name)], "weight_decay": 0.0},
        ],
        lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"],
    )
    schedule = get_linear_schedule_with_warmup(optimizer, o["warmup_steps"], o["total_steps"])
    log = []
    for _ in range(STEPS):
        loss, _ = pretraining_forward(model, batch)
        model.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), o["max_grad_norm"]).item()
        log.append((loss.item(), norm, schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return steps_result("adamw", model, log)


def steps_result(optimizer, model, log):
    losses, grad_norms, learning_rates = zip(*log)
    return {
        **{f"{optimizer}.weights.{name}": p.detach().clone() for name, p in model.named_parameters()},
        f"{optimizer}.losses": torch.tensor(losses, dtype=torch.float64),
        f"{optimizer}.grad_norms": torch.tensor(grad_norms, dtype=torch.float64),
        f"{optimizer}.learning_rates": torch.tensor(learning_rates, dtype=torch.float64),
    }


def compute(hidden_act, weights, regression_head, batch, dtype):
    batch = tensors(batch, dtype)
    expected = {}
    regression_weights = weights | regression_head
    for kind, model_class, labels, kind_weights, forward in [
        ("pretraining", BertForPreTraining, LABELS, weights, pretraining_forward),
        ("classification", BertForSequenceClassification, LABELS, weights, classification_forward),
        ("regression", BertForSequenceClassification, 1, regression_weights, regression_forward),
    ]:
        model = load(model_class, make_config(hidden_act, labels), kind_weights, dtype)
        loss, outputs = forward(model, batch)
        expected |= outputs
        expected |= {f"{kind}.grad.{name}": g for name, g in gradients(model, loss).items()}
    for steps in (bert_adam_steps, adamw_steps):
        model = load(BertForPreTraining, make_config(hidden_act), weights, dtype)
        expected |= steps(model, batch)
    return {
        name: np.atleast_1d(value.detach().to(torch.float64).numpy())
        for name, value in expected.items()
    }


def check_gradients(expected):
    """Every gradient is non-zero, save the key biases': a constant added to a row of scores
    leaves softmax unchanged."""
    smallest, key_bias = math.inf, 0.0
    for name, value in expected.items():
        if ".grad." not in name:
            continue
        root_mean_square = float(np.sqrt((value**2).mean()))
        if name.endswith("attention.self.key.bias"):
            key_bias = max(key_bias, root_mean_square)
        else:
            smallest = min(smallest, root_mean_square)
    assert smallest > 1e-5 and key_bias < 1e-14, (smallest, key_bias)
    print(f"  gradients: smallest root mean square {smallest:.1e}, key biases at most {key_bias:.1e}")


def check_with_padding(directory, batch, expected):
    """transformers' own padded batch, loss and loader, on the files just written, say the same."""
    batch = tensors(batch, torch.float64)
    spans = list(zip(batch["cu_seqlens"].tolist(), batch["cu_seqlens"].tolist()[1:]))
    shape = (len(spans), max(end - start for start, end in spans))
    padded = {name: torch.zeros(shape, dtype=torch.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
    labels = torch.full((len(batch["input_ids"]),), -100)
    labels[batch["masked_lm_positions"]] = batch["masked_lm_ids"]
    padded_labels = torch.full(shape, -100)
    for row, (start, end) in enumerate(spans):
        padded["input_ids"][row, : end - start] = batch["input_ids"][start:end]
        padded["token_type_ids"][row, : end - start] = batch["token_type_ids"][start:end]
        padded["attention_mask"][row, : end - start] = 1
        padded_labels[row, : end - start] = labels[start:end]
    model = BertForPreTraining.from_pretrained(directory, dtype=torch.float64)
    output = model(**padded, labels=padded_labels, next_sentence_label=batch["next_sentence_labels"])
    assert abs(output.loss.item() - expected["pretraining_loss"][0]) < 1e-10, output.loss
    classifier = BertForSequenceClassification.from_pretrained(directory, dtype=torch.float64)
    output = classifier(**padded, labels=batch["class_labels"])
    assert abs(output.loss.item() - expected["classification_loss"][0]) < 1e-10, output.loss


def relative_error(value, reference):
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def report_float32(in_f32, expected):
    groups = {"outputs": [], "gradients": [], "steps": []}
    for name, reference in expected.items():
        if name.endswith("attention.self.key.bias"):
            continue
        kind = "gradients" if ".grad." in name else "steps" if "adam" in name else "outputs"
        groups[kind].append((relative_error(in_f32[name], reference), name))
    for kind, errors in groups.items():
        worst, name = max(errors)
        print(f"  float32 run: relative error of {kind} at most {worst:.1e} ({name})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    batch = make_batch()
    for hidden_act in ACTIVATIONS:
        print(hidden_act)
        directory = output / hidden_act
        directory.mkdir(parents=True, exist_ok=True)
        weights, regression_head = make_weights(hidden_act)
        expected = compute(hidden_act, weights, regression_head, batch, torch.float64)
        make_config(hidden_act).save_pretrained(directory)
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        save_file(regression_head, directory / "regression_head.safetensors", metadata={"format": "pt"})
        save_file(
            {f"batch.{name}": value for name, value in batch.items()}
            | {name: np.float32(value) for name, value in expected.items()},
            directory / "expected.safetensors",
        )
        check_gradients(expected)
        check_with_padding(directory, batch, expected)
        report_float32(compute(hidden_act, weights, regression_head, batch, torch.float32), expected)
        print(f"  loss by step: {' '.join(f'{loss:.3f}' for loss in expected['bert_adam.losses'])} (bert_adam)")
        print(f"  loss by step: {' '.join(f'{loss:.3f}' for loss in expected['adamw.losses'])} (adamw)")
        print(f"  gradient norm by step: {' '.join(f'{n:.2f}' for n in expected['adamw.grad_norms'])} (adamw)")
        assert all(np.isfinite(value).all() for value in load_file(directory / "expected.safetensors").values())
    settings = {
        "activations": ACTIVATIONS,
        "config": CONFIG,
        "labels": LABELS,
        "sequence_lengths": [length for length, _ in LENGTHS],
        "steps": STEPS,
        "bert_adam": BERT_ADAM | {"schedule": "base * step / warmup, then base * (1 - step / total)"},
        "adamw": ADAMW | {"schedule": "base * step / warmup, then base * (total - step) / (total - warmup)"},
    }
    (output / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main()
