import numpy as np
import pytest

from evil.evaluation.statistics import correlation, interquartile_mean


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
