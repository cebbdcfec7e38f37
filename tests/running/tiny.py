"""A tiny algorithm to run, and a program that runs it: `python tiny.py DIRECTORY`.

Noisy descent on (x - target)²: the state has a key, a counter and an array, like a real one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from evil.running import signals
from evil.running.directory import RunDirectory
from evil.running.runner import Interrupted, Phase, Session, run
from evil.running.sinks import JsonLines
from evil.seams import Algorithm

CONFIG = {"algorithm": "tiny", "learner": {"learning_rate": 0.1, "sizes": (64, 64)}, "seed": 0}
NEVER = 10**6


def init(key: jax.Array, data: dict[str, jax.Array]) -> dict[str, Any]:
    key, key_x = jax.random.split(key)
    return {
        "key": key,
        "count": 0,
        "x": jax.random.normal(key_x, (3,)),
        "empty": jnp.zeros((0, 2)),
        "hidden": 1.0,
    }


def step(state: dict[str, Any], data: dict[str, jax.Array]) -> tuple[dict[str, Any], Any]:
    key, key_noise = jax.random.split(state["key"])
    count = state["count"] + 1
    gradient = state["x"] - data["target"] + 0.1 * jax.random.normal(key_noise, (3,))
    gradient = jnp.where(count == data["broken_metric"], jnp.nan, gradient)
    x = state["x"] - 0.1 * gradient
    hidden = jnp.where(count == data["broken_state"], jnp.inf, state["hidden"])
    state = {**state, "key": key, "count": count, "x": x, "hidden": hidden}
    return state, {"agent/return": -jnp.sum(jnp.abs(x)), "agent/count": count}


def algorithm(step: Any = step) -> Algorithm:
    return Algorithm(init, step, lambda state: state, lambda state: (), steps_per_iteration=5)


def phase(**changes: Any) -> Phase:
    """Three lanes, all healthy unless `broken_metric` or `broken_state` name iterations."""
    data = {
        "target": jnp.asarray(2.0),
        "broken_metric": jnp.asarray(changes.pop("broken_metric", (NEVER,) * 3)),
        "broken_state": jnp.asarray(changes.pop("broken_state", (NEVER,) * 3)),
    }
    axes = {"target": None, "broken_metric": 0, "broken_state": 0}
    default: dict[str, Any] = {
        "name": "irl",
        "algorithm": algorithm(),
        "data": data,
        "data_axes": axes,
        "keys": jax.random.split(jax.random.key(7), 3),
        "iterations": 41,
        "chunk": 4,
    }
    return Phase(**(default | changes))


class Slow:
    """A sink that keeps nothing, slowly, so that there is time to interrupt."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds

    def write(self, records: Any) -> None:
        time.sleep(self.seconds)

    def rewind(self, phase: str, iteration: int) -> None:
        pass

    def close(self) -> None:
        pass


def main() -> int:
    path = Path(sys.argv[1])
    directory = RunDirectory.create(path, CONFIG)
    sinks = (JsonLines(directory.metrics), Slow())
    with signals.stop_on_signal() as stop:
        try:
            run(phase(), Session(directory, sinks, stop=stop, checkpoint_interval_s=0.0))
        except Interrupted as reason:
            sys.stdout.write(f"{reason}\n")
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
