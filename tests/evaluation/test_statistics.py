import numpy as np
import pytest

from evil.evaluation.statistics import (
    bootstrap_interval,
    correlation,
    interquartile_interval,
    interquartile_mean,
    rank_correlation,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 6.0], 3.0),  # a quarter of three is none
        ([100.0, 1.0, 2.0, 3.0], 2.5),  # one cut at each end
        ([5.0, -1e9, 3.0, 1e9, 4.0], 4.0),
        ([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 99.0]], 3.5),  # all values, whatever the shape
    ],
)
def test_interquartile_mean_by_hand(values, expected):
    assert interquartile_mean(values) == pytest.approx(expected)


def test_interquartile_mean_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        interquartile_mean([])


def test_correlation():
    x = np.arange(5.0)
    assert correlation(x, 3.0 * x + 1.0) == pytest.approx(1.0)
    assert correlation(x, -x) == pytest.approx(-1.0)
    assert correlation(x, np.ones(5)) == 0.0


def test_intervals_by_hand():
    # Of 0 and 1 a resample's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)
    assert bootstrap_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert bootstrap_interval([3.0]) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])


def test_intervals_cover_the_mean():
    # Over 200 samples of 20 normal values, a 90 % interval should miss 0 about 20 times.
    samples = np.random.default_rng(1).normal(size=(200, 20))
    intervals = [bootstrap_interval(x, confidence=0.9, resamples=500) for x in samples]
    missed = sum(not low <= 0.0 <= high for low, high in intervals)
    assert 10 <= missed <= 40


def test_interquartile_intervals_by_hand():
    # One stratum of 0 and 1: nothing is cut from two values, so means are as above.
    assert interquartile_interval([[0.0, 1.0]]) == (0.0, 1.0)
    assert interquartile_interval([[0.0, 1.0]], confidence=0.4) == (0.5, 0.5)
    # Each stratum is resampled within itself: of 0, 0, 10, 10 the middle half is 0 and 10, always.
    assert interquartile_interval([[0.0, 0.0], [10.0, 10.0]]) == (5.0, 5.0)
    # A wild value among four is cut unless it is drawn twice: in 1 - 67/256 = 74 % of the ways.
    low, high = interquartile_interval([[1.0, 1.0, 1.0, 100.0]], confidence=0.4)
    assert (low, high) == (1.0, 1.0)
    assert interquartile_interval([[3.0], [4.0]]) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="every stratum"):
        interquartile_interval([[1.0], []])


def test_rank_correlation_by_hand():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    # Spearman's 1 - 6 Σ d² / (n (n² - 1)) with d = (0, 1, -1, 0)
    assert rank_correlation(x, [1.0, 3.0, 2.0, 4.0]) == pytest.approx(1 - 6 * 2 / 60)
    # ranks 1.5, 1.5, 3 against 1, 2, 3
    assert rank_correlation([0.0, 0.0, 1.0], [0.0, 1.0, 2.0]) == pytest.approx(np.sqrt(3) / 2)
