#!/usr/bin/env python3
"""Makes tests/data/statistics/scipy.json: what SciPy says about small samples, for tests of ClipEngine.Audit.Statistics.

Run with Debian's python3-scipy (1.10):  /usr/bin/python3 tools/statistics-fixtures.py
The resample indices of the bootstrap are part of the file, so that both sides resample alike.
"""
import json
import os

import numpy as np
import scipy
from scipy import stats
from scipy.stats import _resampling

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(HERE, "..", "tests", "data", "statistics", "scipy.json")
LEVEL = 0.95
RESAMPLES = 299


class Replay:
    """A generator that hands out prepared indices, so that SciPy's bootstrap draws what the file says."""

    def __init__(self, tables):
        self.tables = list(tables)

    def __call__(self, *_):
        return self.tables.pop(0)


def interval(result):
    return [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def bootstrap(samples, statistic, generator):
    indices = [generator.integers(0, len(sample), (RESAMPLES, len(sample))) for sample in samples]
    entry = {"samples": [list(map(float, sample)) for sample in samples], "indices": [table.tolist() for table in indices]}
    for name, method in (("percentile", "percentile"), ("bca", "BCa")):
        original = _resampling.rng_integers
        _resampling.rng_integers = Replay(indices)
        try:
            result = stats.bootstrap(samples, statistic, n_resamples=RESAMPLES, confidence_level=LEVEL, method=method,
                                     vectorized=True, batch=RESAMPLES)
        finally:
            _resampling.rng_integers = original
        entry[name] = interval(result)
    return entry


def newcombe(first, n_first, second, n_second):
    """Newcombe's method 10 out of SciPy's Wilson intervals."""
    a = stats.binomtest(first, n_first).proportion_ci(LEVEL, "wilson")
    b = stats.binomtest(second, n_second).proportion_ci(LEVEL, "wilson")
    p, q = first / n_first, second / n_second
    return [p - q - np.hypot(p - a.low, b.high - q), p - q + np.hypot(a.high - p, q - b.low)]


def holm(values):
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.minimum(1, np.asarray(values)[order] * np.arange(len(values), 0, -1)))
    result = np.empty(len(values))
    result[order] = adjusted
    return result.tolist()


def benjamini_hochberg(values):
    order = np.argsort(values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    adjusted = np.minimum.accumulate((np.asarray(values)[order] * len(values) / ranks)[::-1])[::-1]
    result = np.empty(len(values))
    result[order] = np.minimum(1, adjusted)
    return result.tolist()


def spearman(x, y):
    rho = stats.spearmanr(x, y).statistic
    half = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((1 + rho * rho / 2) / (len(x) - 3))
    return {"value": float(rho), "interval": [float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))]}


def main():
    generator = np.random.default_rng(20240508)
    wilson = []
    for successes, count in ((0, 1), (1, 1), (0, 52), (40, 52), (52, 52), (72, 93), (13, 93), (1, 597), (300, 597)):
        found = stats.binomtest(successes, count).proportion_ci(LEVEL, "wilson")
        wilson.append({"successes": successes, "count": count, "interval": [found.low, found.high]})
    differences = [{"first": list(first), "second": list(second), "interval": list(newcombe(*first, *second))}
                   for first, second in (((72, 93), (57, 93)), ((0, 52), (3, 57)), ((52, 52), (104, 104)), ((15, 52), (4, 57)))]

    skewed = generator.gamma(0.6, size=23)
    other = generator.beta(0.3, 2, size=17)
    paired = generator.normal(0.1, 0.3, size=29)
    bootstraps = {
        "mean": bootstrap((skewed,), lambda x, axis: np.mean(x, axis=axis), generator),
        "paired": bootstrap((paired,), lambda x, axis: np.mean(x, axis=axis), generator),
        "difference": bootstrap((skewed, other), lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis), generator),
    }

    mcnemar = [{"first": b, "second": c, "p": stats.binomtest(b, b + c, 0.5).pvalue}
               for b, c in ((0, 5), (3, 11), (7, 7), (1, 60), (59, 0), (20, 31))]
    permutations = []
    for size in (4, 8, 12):
        values = np.round(generator.normal(0.2, 0.5, size=size), 2)
        found = stats.permutation_test((values,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
                                       n_resamples=np.inf, vectorized=True)
        permutations.append({"values": values.tolist(), "p": float(found.pvalue)})

    x = generator.normal(size=40)
    y = np.round(0.4 * x + generator.normal(size=40), 1)
    pearson = stats.pearsonr(x, y)
    p_values = [0.001, 0.2, 0.04, 0.04, 0.9, 0.012, 0.03, 0.0004, 0.5]
    result = {
        "scipy": scipy.__version__,
        "level": LEVEL,
        "wilson": wilson,
        "newcombe": differences,
        "bootstrap": bootstraps,
        "mcnemar": mcnemar,
        "permutation": permutations,
        "pearson": {"x": x.tolist(), "y": y.tolist(), "value": float(pearson.statistic),
                    "interval": [float(end) for end in pearson.confidence_interval(LEVEL)]},
        "spearman": spearman(x, y),
        "corrections": {"p": p_values, "holm": holm(p_values), "bh": benjamini_hochberg(p_values)},
    }
    os.makedirs(os.path.dirname(TARGET), exist_ok=True)
    with open(TARGET, "w", encoding="utf-8") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
