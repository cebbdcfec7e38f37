"""Whether a suite has become slower than an older one, beyond what would happen by chance.

Two runs of a suite are hours and perhaps machines apart, and cannot take turns. Within each, every
turn has measured every program and a large matrix product right after one another; seconds are
taken in units of that product of the same turn, which cancels what slows down everything alike (a
busy neighbour, another clock) but not what slows down memory or scheduling alone.

Of the ratio new / old of medians over turns a 95 % interval is found by resampling the turns of
both. A regression is an interval that lies above 1 + MARGIN as a whole: with seven turns each this
sees changes of a tenth or so, and nothing finer. Files of other devices, environments or presets
are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evil.benchmarks.suite import REFERENCE, relative
from evil.errors import UserError
from evil.running import files

MARGIN = 0.05
RESAMPLES = 10_000
SAME = ("benchmark", "env", "preset", "devices")  # of both, or they cannot be compared
MIN_TURNS = 5


def read(path: Path) -> dict[str, Any]:
    """The suite in a file; UserError if it is none."""
    found = files.read_json(path)
    turns = found.get("turns")
    if not isinstance(turns, dict) or REFERENCE not in turns:
        raise UserError(f"{path} is not the output of `benchmark.py suite`: it keeps no turns.")
    numbers = [np.asarray(value, object) for value in turns.values()]
    counts = {value.shape for value in numbers}
    is_number = [isinstance(x, float) and x > 0 for value in numbers for x in value.ravel()]
    if len(counts) != 1 or len(next(iter(counts))) != 1 or not all(is_number):
        raise UserError(f"{path}: expected as many seconds above 0 of every program.")
    return found


def compare(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of every program in both: new over old, its interval, and whether it is a regression."""
    for name in SAME:
        if new.get(name) != old.get(name):
            raise UserError(
                f"the suites differ in {name}: {old.get(name)!r} before, {new.get(name)!r} now."
            )
    ours, theirs = relative(new["turns"]), relative(old["turns"])
    return {name: _compared(ours[name], theirs[name]) for name in ours if name in theirs}


def _compared(new: Sequence[float], old: Sequence[float]) -> dict[str, Any]:
    if min(len(new), len(old)) < MIN_TURNS:
        raise UserError(f"expected {MIN_TURNS} turns or more to compare, found {len(new)}.")
    rng = np.random.default_rng(0)
    drawn = [
        np.median(rng.choice(np.asarray(part), (RESAMPLES, len(part))), axis=1)
        for part in (new, old)
    ]
    low, high = (float(x) for x in np.quantile(drawn[0] / drawn[1], [0.025, 0.975]))
    return {
        "new_over_old": float(np.median(new) / np.median(old)),
        "interval": [low, high],
        "is_regression": low > 1.0 + MARGIN,
        "is_improvement": high < 1.0 - MARGIN,
    }
