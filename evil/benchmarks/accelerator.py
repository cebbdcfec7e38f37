"""What whole runs of IRL++ take on an accelerator, from a few of their iterations.

An iteration costs the same at any time of a run, so a slice says what the whole takes. Lanes that
do not fit the device's memory side by side are counted as programs one after another.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

import jax

from evil.benchmarks.timing import driven, turns_of, uncached
from evil.experiments import recover
from evil.experiments.settings import presets
from evil.running import parts
from evil.running.session import Session

LANES = {"hopper": (1, 32), "walker2d": (1, 200)}


def runs(
    preset: str, lanes: Mapping[str, tuple[int, ...]] = LANES, slice_: int = 4, turns: int = 3
) -> dict[str, Any]:
    """Seconds of whole runs by environment and number of seeds, published recipe."""
    return {
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "preset": presets.resolve(preset),
        "runs": {
            env: [whole(env, preset, count, slice_, turns) for count in counts]
            for env, counts in lanes.items()
        },
    }


def whole(env: str, preset: str, count: int, slice_: int, turns: int) -> dict[str, Any]:
    """Seconds that so many seeds of the game take, compilation aside."""
    config = presets.recovery(env, preset, irl_plus=True, recipe="published")
    study = recover.study(config)
    phase = dataclasses.replace(
        study.imitating("irl", study.game, jax.random.key(0), slice_),
        keys=jax.random.split(jax.random.key(1), count),
        chunk=slice_,
    )
    with uncached():
        cut = parts.cut(phase, Session())
    contestant = driven(cut.phases[0], cut.programs(True))
    seconds = statistics.median(turns_of({"slice": contestant}, turns)["slice"])
    iterations: int = config.iterations
    return {
        "seeds": count,
        "side_by_side": cut.phases[0].lanes,
        "seconds_per_iteration": seconds / slice_,
        "iterations": iterations,
        "whole_run_s": len(cut.phases) * iterations * seconds / slice_,
        "compile_s": contestant.compile_s,
        "program_memory_mb": contestant.peak_bytes / 2**20,
    }
