"""How speed grows with the number of lanes and of environments, and with devices."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax

from evil import environments
from evil.benchmarks.devices import race_devices
from evil.benchmarks.programs import random_stepping
from evil.benchmarks.timing import Contestant, driven, prepare, turns_of
from evil.experiments.settings import presets
from evil.learners import alone, ppo
from evil.rewards import fixed
from evil.running.runner import Phase

LANES = tuple(2**k for k in range(9))  # 1, 2, 4, ..., 256
ENVIRONMENTS = tuple(2**k for k in range(4, 14, 2))  # 16, 64, ..., 4096


def scaling(env_name: str = "hopper", budget_s: float = 600.0, turns: int = 3) -> dict[str, Any]:
    """Environment steps per second over lanes, environments and devices.

    Each of the two series ends when it has taken half of the budget, which includes compiling.
    """
    return {
        "env": env_name,
        "lanes": over_lanes(env_name, "quick", LANES, budget_s / 2, turns),
        "environments": over_environments(env_name, ENVIRONMENTS, budget_s / 2, turns),
        "devices": {what: race_devices(what, env_name, turns) for what in ("stepping", "irl_plus")}
        if jax.local_device_count() > 1
        else {},
    }


def over_lanes(
    env_name: str, preset: str, counts: Iterable[int], budget_s: float, turns: int
) -> dict[str, Any]:
    """Seeds of PPO in one program, spread over all devices."""
    config = presets.recovery(env_name, preset, irl_plus=True).algorithm.learner
    assert isinstance(config, ppo.Config)
    learner = ppo.make(config, environments.make(env_name), fixed.real())

    def lanes(count: int) -> tuple[Contestant, int]:
        phase = Phase(
            name="ppo",
            algorithm=alone.make(learner),
            data=(),
            keys=jax.random.split(jax.random.key(0), count),
            iterations=1,
            chunk=1,
        )
        return driven(phase), count * learner.steps_per_iteration

    return _series(lanes, counts, budget_s, turns)


def over_environments(
    env_name: str, counts: Iterable[int], budget_s: float, turns: int, num_steps: int = 32
) -> dict[str, Any]:
    """The bare environment on one device."""
    env = environments.make(env_name)

    def stepping(count: int) -> tuple[Contestant, int]:
        return prepare(*random_stepping(env, count, num_steps)), count * num_steps

    return _series(stepping, counts, budget_s, turns)


def _series(
    make: Callable[[int], tuple[Contestant, int]],
    counts: Iterable[int],
    budget_s: float,
    turns: int,
) -> dict[str, Any]:
    """Speed by count, up to the one during which the budget is spent."""
    counts, found, started = list(counts), [], time.perf_counter()
    for count in counts:
        contestant, steps = make(count)
        seconds = statistics.median(turns_of({"one": contestant}, turns)["one"])
        found.append(
            {
                "count": count,
                "env_steps_per_s": steps / seconds,
                "compile_s": contestant.compile_s,
                "program_memory_mb": contestant.peak_bytes / 2**20,
            }
        )
        if time.perf_counter() - started > budget_s:
            break
    speeds = [entry["env_steps_per_s"] for entry in found]
    gains = [after / before for before, after in itertools.pairwise(speeds)]
    return {
        "series": [
            entry | {"gain": gain} for entry, gain in zip(found, [1.0, *gains], strict=True)
        ],
        "not_reached": counts[len(found) :],
    }
