"""The peak of memory, predicted before a run and measured after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evil.running import memory

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_peak_is_predicted_within_a_fifth(tmp_path, is_kept):
    # In a process of its own, whose peak has not been reached by other tests.
    hungry = ROOT / "tests" / "running" / "hungry.py"
    done = subprocess.run(
        [sys.executable, hungry, *([tmp_path / "run"] if is_kept else [])],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["lanes"] == 4 and found["program"] > 2 * 4 * 32  # states before and after
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.2)
    # Not merely because most of it was there before: what the run added was predicted, too.
    predicted, measured = (found[name] - found["before"] for name in ("predicted", "measured"))
    assert predicted == pytest.approx(measured, rel=0.25)


def test_a_prediction_is_no_less_than_the_peak_so_far():
    assert memory.predicted_mb(0) >= 0.99 * memory.peak_memory_mb()
    more = memory.predicted_mb(2**40) - memory.predicted_mb(2**39)
    assert more == pytest.approx(2**39 / 2**20, rel=0.01)
