"""Makes the parity fixture of the tasks: what PyTorch + transformers compute on the tiny random BERT of
make_parity_fixture.py, with gelu, whose weights and batch are used again.

    python make_task_fixture.py crates/cloze/tests/fixtures/parity

As there, everything is computed in float64, each sequence alone, and rounded to float32 once. Writes into `gelu`:

    heads.json            for each class of transformers what save_pretrained writes: config.json, and the tensors' shapes
    tasks.safetensors     U32 integers, F32 numbers:

    qa_outputs.{weight,bias}                           the head that model.safetensors has not; the others read its
                                                       classifier
    batch.{labelled_rows,row_labels}                   [words]        all other rows have the label -100
    batch.answers                                      [sequences, 2] first and last token in the sequence
    batch.label_sets                                   [sequences, labels], 0 or 1
    batch.class_weights                                [labels]
    batch.{windows,window_labels}                      [examples]     sequences of each example, and its class
    {tokens,answers}_logits                            [tokens, outputs]
    windows_{mean,max}_logits                          [examples, labels]
    TASK_loss                                          [1]
    TASK.grad.NAME                                     gradient of that loss, NAME as in model.safetensors
    {rates,frozen}.weights.NAME                        after the steps on the loss of classification
    {rates,frozen}.losses                              [steps], before each update

where TASK is

    tokens             BertForTokenClassification: mean over the labelled rows
    weighted_tokens    the same with class weights: CrossEntropyLoss(weight), which divides by the sum of the weights
    answers            BertForQuestionAnswering: half the sum of the cross-entropies of start and end
    labels             BertForSequenceClassification with problem_type multi_label_classification
    weighted_classes   BertForSequenceClassification with CrossEntropyLoss(weight)
    windows_mean       cross-entropy of the mean over an example's windows of their logits
    windows_max        the same of the largest

The steps are ten of torch.optim.AdamW with transformers' linear schedule. The rate of a group of parameters is
`learning_rate * layer_decay ** distance`: the last layer has distance 1, each layer below one more, and the embeddings
one more than the first layer. The pooler and the classifier have the rate `head_learning_rate`. Of frozen layers and
embeddings nothing changes, and they do not count for the norm that is clipped.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch.nn import BCEWithLogitsLoss, CrossEntropyLoss
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    get_linear_schedule_with_warmup,
    logging,
)

from make_parity_fixture import (
    ADAMW,
    CONFIG,
    LABELS,
    SCALE,
    STEPS,
    classification_forward,
    gradients,
    is_decayed,
    load,
    make_batch,
    make_config,
    make_weights,
    relative_error,
    run_sequences,
    tensors,
)

HIDDEN_ACT = "gelu"
NAMES = ["O", "B-PER", "I-PER"]
# Rates far enough apart that a wrong distance is far above float32's error.
RATES = dict(layer_decay=0.6, head_learning_rate=5e-3, frozen_layers=None)
FROZEN = dict(layer_decay=0.5, head_learning_rate=None, frozen_layers=1)


def make_answer_head():
    rng = np.random.default_rng([20161606, 5])
    draw = lambda *shape: np.float32(SCALE * rng.standard_normal(shape))
    return {"qa_outputs.weight": draw(2, CONFIG["hidden_size"]), "qa_outputs.bias": draw(2)}


def make_targets(batch):
    rng = np.random.default_rng(2002)
    as_u32 = lambda values: np.array(values, dtype=np.uint32)
    # Of the third sequence no token has a label, of the others about two in three.
    starts = batch["cu_seqlens"].astype(int)
    rows = [row for row in range(starts[-1]) if row % 3 != 1 and not starts[2] <= row < starts[3]]
    return {
        "labelled_rows": as_u32(rows),
        "row_labels": as_u32(rng.integers(0, LABELS, len(rows))),
        # The second has no answer; that of the last ends with its last token.
        "answers": as_u32([[9, 11], [0, 0], [1, 1], [4, 22]]),
        "label_sets": as_u32([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]),
        "class_weights": np.float32([0.5, 2.0, 1.25]),
        "windows": as_u32([3, 1]),
        "window_labels": as_u32([2, 0]),
    }


def token_labels(batch):
    labels = torch.full((len(batch["input_ids"]),), -100)
    labels[batch["labelled_rows"]] = batch["row_labels"]
    return labels


def tokens_forward(name, weighted):
    def forward(model, batch):
        hidden_states, _ = run_without_pooler(model.bert, batch)
        logits = model.classifier(hidden_states)
        weight = batch["class_weights"] if weighted else None
        loss = CrossEntropyLoss(weight=weight, ignore_index=-100)(logits, token_labels(batch))
        return loss, {f"{name}_loss": loss} | ({} if weighted else {f"{name}_logits": logits})
    return forward


def answers_forward(model, batch):
    hidden_states, spans = run_without_pooler(model.bert, batch)
    logits = model.qa_outputs(hidden_states)
    losses = []
    for (start, end), answer in zip(spans, batch["answers"]):
        of_tokens = logits[start:end]
        losses.append((CrossEntropyLoss()(of_tokens[None, :, 0], answer[None, 0])
                       + CrossEntropyLoss()(of_tokens[None, :, 1], answer[None, 1])) / 2)
    loss = torch.stack(losses).mean()
    return loss, {"answers_logits": logits, "answers_loss": loss}


def labels_forward(model, batch):
    logits = sequence_logits(model, batch)
    loss = BCEWithLogitsLoss()(logits, batch["label_sets"].to(logits.dtype))
    return loss, {"labels_loss": loss}


def weighted_classes_forward(model, batch):
    loss = CrossEntropyLoss(weight=batch["class_weights"])(sequence_logits(model, batch), batch["class_labels"])
    return loss, {"weighted_classes_loss": loss}


def windows_forward(name, pool):
    def forward(model, batch):
        of_windows = sequence_logits(model, batch).split(batch["windows"].tolist())
        logits = torch.stack([pool(rows) for rows in of_windows])
        loss = CrossEntropyLoss()(logits, batch["window_labels"])
        return loss, {f"{name}_logits": logits, f"{name}_loss": loss}
    return forward


def sequence_logits(model, batch):
    return model.classifier(run_sequences(model.bert, batch)[2])


def spans_of(batch):
    cu_seqlens = batch["cu_seqlens"].tolist()
    return list(zip(cu_seqlens, cu_seqlens[1:]))


def run_without_pooler(encoder, batch):
    spans = spans_of(batch)
    outputs = [
        encoder(batch["input_ids"][None, start:end], token_type_ids=batch["token_type_ids"][None, start:end])
        for start, end in spans
    ]
    return torch.cat([output.last_hidden_state[0] for output in outputs]), spans


TASKS = [
    ("tokens", BertForTokenClassification, tokens_forward("tokens", weighted=False)),
    ("weighted_tokens", BertForTokenClassification, tokens_forward("weighted_tokens", weighted=True)),
    ("answers", BertForQuestionAnswering, answers_forward),
    ("labels", BertForSequenceClassification, labels_forward),
    ("weighted_classes", BertForSequenceClassification, weighted_classes_forward),
    ("windows_mean", BertForSequenceClassification, windows_forward("windows_mean", lambda rows: rows.mean(0))),
    ("windows_max", BertForSequenceClassification, windows_forward("windows_max", lambda rows: rows.max(0).values)),
]


def rate_of(name, rates):
    """The rate of a parameter; None if it is frozen."""
    layers, frozen, base = CONFIG["num_hidden_layers"], rates["frozen_layers"], ADAMW["learning_rate"]
    layer = re.match(r"bert\.encoder\.layer\.(\d+)\.", name)
    if layer:
        index = int(layer[1])
        return None if frozen is not None and index < frozen else base * rates["layer_decay"] ** (layers - index)
    if name.startswith("bert.embeddings."):
        return None if frozen is not None else base * rates["layer_decay"] ** (layers + 1)
    return rates["head_learning_rate"] or base


def steps(name, model, batch, rates):
    o, groups = ADAMW, {}
    for parameter_name, parameter in model.named_parameters():
        rate = rate_of(parameter_name, rates)
        if rate is None:
            parameter.requires_grad_(False)
            continue
        decay = o["weight_decay"] if is_decayed(parameter_name) else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()],
        betas=(o["beta1"], o["beta2"]), eps=o["epsilon"],
    )
    schedule = get_linear_schedule_with_warmup(optimizer, o["warmup_steps"], o["total_steps"])
    losses = []
    for _ in range(STEPS):
        loss, _ = classification_forward(model, batch)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), o["max_grad_norm"])
        losses.append(loss.item())
        optimizer.step()
        schedule.step()
    trained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    return {f"{name}.weights.{n}": value for n, value in trained.items()} | {
        f"{name}.losses": torch.tensor(losses, dtype=torch.float64)
    }


def compute(weights, batch, dtype):
    batch, expected = tensors(batch, dtype), {}
    for name, model_class, forward in TASKS:
        outputs = 2 if model_class is BertForQuestionAnswering else LABELS
        model = load(model_class, make_config(HIDDEN_ACT, outputs), weights, dtype)
        loss, outputs = forward(model, batch)
        expected |= outputs | {f"{name}.grad.{n}": g for n, g in gradients(model, loss).items()}
        if dtype == torch.float64:
            check_against_transformers(name, model, batch, loss.item())
    for name, rates in (("rates", RATES), ("frozen", FROZEN)):
        model = load(BertForSequenceClassification, make_config(HIDDEN_ACT), weights, dtype)
        expected |= steps(name, model, batch, rates)
    return {name: np.atleast_1d(value.detach().to(torch.float64).numpy()) for name, value in expected.items()}


def check_against_transformers(name, model, batch, expected):
    """Where transformers' models have the loss themselves, it is the same. That of answers is compared without padding:
    transformers lets the tokens of padding take part in its softmax."""
    spans, shape = spans_of(batch), (4, 23)
    if name == "answers":
        losses = [
            model(batch["input_ids"][None, start:end], token_type_ids=batch["token_type_ids"][None, start:end],
                  start_positions=answer[None, 0], end_positions=answer[None, 1]).loss.item()
            for (start, end), answer in zip(spans, batch["answers"])
        ]
        found = sum(losses) / len(losses)
    elif name in ("tokens", "labels"):
        padded = {key: torch.zeros(shape, dtype=torch.int64) for key in ("input_ids", "token_type_ids", "attention_mask")}
        row_labels = torch.full(shape, -100)
        for row, (start, end) in enumerate(spans):
            padded["input_ids"][row, : end - start] = batch["input_ids"][start:end]
            padded["token_type_ids"][row, : end - start] = batch["token_type_ids"][start:end]
            padded["attention_mask"][row, : end - start] = 1
            row_labels[row, : end - start] = token_labels(batch)[start:end]
        if name == "labels":
            model.config.problem_type = "multi_label_classification"
            row_labels = batch["label_sets"].double()
        found = model(**padded, labels=row_labels).loss.item()
    else:
        return
    assert abs(found - expected) < 1e-10, (name, found, expected)
    print(f"  {name}: transformers' own loss differs by {abs(found - expected):.1e}")


def is_constant(name):
    """Whether a gradient is zero in exact arithmetic: what is added to all that a softmax compares leaves it as it is."""
    added_to_all = ("encoder.layer.1.output.LayerNorm.bias", "qa_outputs.bias")
    return name.endswith("attention.self.key.bias") or name.startswith("answers.") and name.endswith(added_to_all)


def check_gradients(expected):
    sizes = {name: float(np.sqrt((value**2).mean())) for name, value in expected.items() if ".grad." in name}
    smallest = min(size for name, size in sizes.items() if not is_constant(name))
    largest = max(size for name, size in sizes.items() if is_constant(name))
    assert smallest > 1e-6 and largest < 1e-14, (smallest, largest)
    print(f"  gradients: smallest root mean square {smallest:.1e}, those that are zero at most {largest:.1e}")


def saved_by_transformers(weights):
    """What save_pretrained writes of each class."""
    saved = {}
    for model_class, labels, problem in [
        (BertForTokenClassification, NAMES, None),
        (BertForQuestionAnswering, None, None),
        (BertForSequenceClassification, NAMES, "multi_label_classification"),
        (BertForSequenceClassification, NAMES, "single_label_classification"),
    ]:
        config = make_config(HIDDEN_ACT, 2 if labels is None else len(labels))
        if labels is not None:
            config.id2label, config.label2id = dict(enumerate(labels)), {name: id for id, name in enumerate(labels)}
        config.problem_type = problem
        with tempfile.TemporaryDirectory() as directory:
            load(model_class, config, weights, torch.float32).save_pretrained(directory)
            with safe_open(Path(directory) / "model.safetensors", "np") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
            written = json.loads((Path(directory) / "config.json").read_text())
        saved[problem or model_class.__name__] = {"config": written, "tensors": shapes}
    return saved


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    directory = parser.parse_args().output / HIDDEN_ACT
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    head = make_answer_head()
    weights = make_weights(HIDDEN_ACT)[0] | head
    stored = load_file(directory / "model.safetensors")
    assert all(np.array_equal(value, weights[name]) for name, value in stored.items())
    batch = make_batch()
    targets = make_targets(batch)
    expected = compute(weights, batch | targets, torch.float64)
    assert all(np.isfinite(value).all() for value in expected.values())
    check_gradients(expected)
    in_f32 = compute(weights, batch | targets, torch.float32)
    for kind, chosen in [("gradients", ".grad."), ("steps", ".weights."), ("outputs", "_lo")]:
        errors = [(relative_error(in_f32[n], expected[n]), n) for n in expected
                  if chosen in n and not is_constant(n)]
        print("  float32 run: relative error of {} at most {:.1e} ({})".format(kind, *max(errors)))
    for name in ("rates", "frozen"):
        print(f"  loss by step: {' '.join(f'{loss:.3f}' for loss in expected[f'{name}.losses'])} ({name})")
    save_file(
        head | {f"batch.{name}": value for name, value in targets.items()}
        | {name: np.float32(value) for name, value in expected.items() if not is_constant(name)},
        directory / "tasks.safetensors",
    )
    heads = json.dumps(saved_by_transformers(weights), sort_keys=True)
    (directory / "heads.json").write_text(heads + "\n")


if __name__ == "__main__":
    main()
