"""Makes evaluation.json: metrics of random predictions, as scikit-learn and SciPy compute them.

    python evaluation_reference.py crates/cloze/tests/fixtures/evaluation.json

Logits are multiples of 1/16 and probabilities of 1/64, so that f32 holds them exactly and some are equal.
"""

import json
import sys

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

BINS = 15


def confusion(rng):
    """Class 2 is never predicted, class 3 is never gold, class 4 is neither."""
    gold = rng.choice([0, 1, 2], size=137, p=[0.5, 0.3, 0.2])
    predictions = np.where(rng.random(137) < 0.6, gold, rng.choice([0, 1, 3], size=137))
    predictions[predictions == 2] = 3
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        gold, predictions, labels=range(5), zero_division=0)
    return dict(predictions=predictions, gold=gold, matrix=metrics.confusion_matrix(gold, predictions, labels=range(5)),
                precision=precision, recall=recall, f1=f1, support=support)


def bootstrap(rng):
    a = np.round(rng.normal(0.75, 0.5, size=60), 3)
    b = np.round(a - 0.04 + rng.normal(0, 0.5, size=60), 3)

    def percentile(values):
        result = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="percentile", rng=rng)
        return result.confidence_interval, result.standard_error, result.bootstrap_distribution

    a_interval, a_deviation, _ = percentile(a)
    difference_interval, difference_deviation, values = percentile(a - b)
    p_value = 2 * min((values <= 0).mean(), (values >= 0).mean())
    return dict(a=a, b=b, a_interval=a_interval, a_deviation=a_deviation, difference=a.mean() - b.mean(),
                difference_interval=difference_interval, difference_deviation=difference_deviation, p_value=p_value)


def quantiles(rng):
    cases = []
    for count in [1, 2, 7, 13, 40]:
        values = np.sort(np.round(rng.normal(size=count), 4))
        cases += [(values, q, np.quantile(values, q)) for q in [0.0, 0.025, 0.5, 0.975, 1.0]]
    return cases


def binomial():
    cases = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 7), (3, 7), (0, 13), (5, 13), (6, 13), (5, 15), (6, 16), (8, 17),
             (9, 31), (15, 31), (16, 32), (0, 40), (37, 100), (50, 101), (450, 1000), (380, 1000), (499, 1000), (0, 1000),
             (4_900, 10_000), (4_600, 10_000), (49_800, 100_001), (499_000, 1_000_000), (498_000, 1_000_000),
             (1_499_999, 3_000_000)]
    return [(k, n, stats.binomtest(k, n).pvalue) for k, n in cases]


def reliability(rng):
    confidences = np.concatenate([np.round(rng.uniform(0.2, 1, size=100), 4), np.arange(3, 16) / BINS])
    is_right = rng.random(113) < confidences**2
    # Ranges of confidence, closed above.
    accuracy, confidence = calibration_curve(is_right, confidences, n_bins=BINS)
    counts = np.bincount(np.searchsorted(np.arange(1, BINS) / BINS, confidences), minlength=BINS)
    error = (counts[counts > 0] * np.abs(accuracy - confidence)).sum() / counts.sum()
    return dict(confidences=confidences, is_right=is_right, counts=counts, confidence=confidence, accuracy=accuracy,
                error=error)


def temperature(rng):
    logits = np.round(rng.normal(0, 3, size=(80, 4)) * 16) / 16
    gold = (logits + rng.gumbel(0, 1.7, size=logits.shape)).argmax(1)
    multi_gold = logits + rng.logistic(0, 2.3, size=logits.shape) > 0

    def loss(log_t):
        return -special.log_softmax(logits / np.exp(log_t), axis=1)[np.arange(80), gold].mean()

    def multi_loss(log_t):
        return -special.log_expit(np.where(multi_gold, 1, -1) * logits / np.exp(log_t)).mean()

    def best(function):
        return np.exp(optimize.minimize_scalar(function, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10}).x)

    return dict(logits=logits, gold=gold, multi_gold=multi_gold, temperature=best(loss), multi_temperature=best(multi_loss))


def multi_label(rng):
    """Label 3 is never gold, label 4 is never predicted, and some examples have no label at all."""
    gold = rng.random((90, 5)) < [0.5, 0.3, 0.15, 0.0, 0.2]
    probabilities = special.expit(rng.normal(-0.7, 1.2, size=gold.shape) + 1.6 * gold)
    probabilities = np.clip(np.round(probabilities * 64), 1, 63) / 64
    logits = np.round(rng.normal(0, 3, size=gold.shape) * 16) / 16
    predictions = probabilities >= 0.5
    predictions[:, 4] = False
    f1 = {average: metrics.f1_score(gold, predictions, average=average, zero_division=0)
          for average in ["micro", "macro", "samples"]}
    precision, recall, label_f1, support = metrics.precision_recall_fscore_support(gold, predictions, zero_division=0)
    return dict(
        logits=logits, probabilities=probabilities, gold=gold, predictions=predictions,
        micro_precision=metrics.precision_score(gold, predictions, average="micro", zero_division=0),
        micro_recall=metrics.recall_score(gold, predictions, average="micro", zero_division=0),
        micro_f1=f1["micro"], macro_f1=f1["macro"], samples_f1=f1["samples"],
        subset_accuracy=metrics.accuracy_score(gold, predictions), hamming_loss=metrics.hamming_loss(gold, predictions),
        binary_cross_entropy=metrics.log_loss(gold.ravel(), special.expit(logits.ravel())),
        precision=precision, recall=recall, f1=label_f1, support=support,
        **thresholds(probabilities, gold))


def thresholds(probabilities, gold):
    """The best thresholds for micro F1 (one for all, and the best value by label), macro F1 and exact matches. A label
    that fewer than 5 examples have shares the best one for all."""
    shared = threshold(probabilities, lambda given: metrics.f1_score(gold, given, average="micro", zero_division=0))

    def own(label):
        def score(given):
            return metrics.f1_score(gold[:, label], given, zero_division=0)

        return threshold(probabilities[:, label], score) if gold[:, label].sum() >= 5 else shared

    # For each number of labels given, the greatest number of right ones that thresholds by label can reach.
    reached = {0: 0}
    for label in range(gold.shape[1]):
        own_candidates = np.unique(np.append(probabilities[:, label], 2))
        sums = {}
        for candidate in own_candidates if gold[:, label].sum() >= 5 else [shared]:
            given = probabilities[:, label] >= candidate
            for count, right in reached.items():
                count, right = count + given.sum(), right + (given & gold[:, label]).sum()
                sums[count] = max(right, sums.get(count, 0))
        reached = sums
    return dict(
        shared_threshold=shared, macro_thresholds=[own(label) for label in range(gold.shape[1])],
        exact_threshold=threshold(probabilities, lambda given: metrics.accuracy_score(gold, given)),
        micro_f1_by_label=max(2 * right / (count + gold.sum()) for count, right in reached.items()))


def threshold(probabilities, score):
    """The middle of the best interval of equally good thresholds; of several the nearest to 0.5, then the lower."""
    bounds = np.unique(np.concatenate([[0, 1], probabilities.ravel()]))
    intervals = []
    for below, above in zip(bounds[:-1], bounds[1:]):
        found = score(probabilities >= (below + above) / 2)
        if intervals and intervals[-1][2] == found:
            below = intervals.pop()[0]
        intervals.append((below, above, found))

    def rank(interval):
        middle = (interval[0] + interval[1]) / 2
        return -interval[2], abs(middle - 0.5), middle

    return sum(min(intervals, key=rank)[:2]) / 2


def main():
    rng = np.random.default_rng(7)
    parts = dict(confusion=confusion(rng), bootstrap=bootstrap(rng), quantiles=quantiles(rng), binomial=binomial(),
                 reliability=reliability(rng), temperature=temperature(rng), multi_label=multi_label(rng))
    lines = [f"{json.dumps(name)}: {json.dumps(part, default=lambda value: value.tolist())}" for name, part in parts.items()]
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


main()
