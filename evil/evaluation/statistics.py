"""Statistics of returns over runs.

Reference: agarwal2021precipice
"""

from __future__ import annotations

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


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of two samples of equal size; 0 where either is constant."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.std() < 1e-12 or y.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
