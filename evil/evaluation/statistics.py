"""Statistics of returns over runs.

Reference: agarwal2021precipice
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all values: a quarter of them, rounded down, is cut at each end.

    Less swayed by one lucky or failed run than the mean, and by ties than the median.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    if not ordered.size:
        raise ValueError("the interquartile mean needs at least one value")
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000
) -> tuple[float, float]:
    """Percentile interval of the mean over independent runs; always the same for the same values.

    One run says nothing about its spread: its interval is all there is.
    """
    sample = np.asarray(values, np.float64).reshape(-1)
    if not sample.size:
        raise ValueError("an interval needs at least one value")
    if sample.size == 1:
        return -np.inf, np.inf
    chosen = np.random.default_rng(0).integers(0, sample.size, (resamples, sample.size))
    return _middle(sample[chosen].mean(axis=1), confidence)


def interquartile_interval(
    strata: Sequence[ArrayLike], *, confidence: float = 0.95, resamples: int = 10_000
) -> tuple[float, float]:
    """Percentile interval of the interquartile mean over all runs, resampled within each stratum.

    A stratum holds the runs of one task, whose returns are on one scale with the others'; always
    the same for the same values. Runs that say nothing of their spread have no interval.
    """
    samples = [np.asarray(values, np.float64).reshape(-1) for values in strata]
    if not samples or not all(sample.size for sample in samples):
        raise ValueError("an interval needs at least one value in every stratum")
    if all(sample.size == 1 for sample in samples):
        return -np.inf, np.inf
    rng = np.random.default_rng(0)
    drawn = [sample[rng.integers(0, sample.size, (resamples, sample.size))] for sample in samples]
    ordered = np.sort(np.concatenate(drawn, axis=1), axis=1)
    cut = ordered.shape[1] // 4
    return _middle(ordered[:, cut : ordered.shape[1] - cut].mean(axis=1), confidence)


def _middle(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentiles between which that share of resampled statistics lies."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return float(low), float(high)


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of two samples of equal size; 0 where either is constant."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.std() < 1e-12 or y.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's: Pearson's correlation of the ranks, where equal values share their mean rank."""
    from scipy import stats

    return correlation(stats.rankdata(np.asarray(x)), stats.rankdata(np.asarray(y)))
