"""A run that takes memory: `python hungry.py [DIRECTORY]` prints what was predicted and taken.

Four lanes of 32 MiB each, with checkpoints if there is a directory to keep them in.
"""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp

from evil.running import memory, parts
from evil.running.directory import RunDirectory
from evil.running.phase import Phase
from evil.running.runner import Session
from evil.seams import Algorithm

SIZE = 8 * 1024**2  # float32 numbers


def init(key, data):
    return {"x": jax.random.uniform(key, (SIZE,))}


def step(state, data):
    x = state["x"]
    return {"x": 0.5 * (x + jnp.roll(x, 1))}, {"x/mean": x.mean()}


def main() -> None:
    phase = Phase(
        name="hungry",
        algorithm=Algorithm(init, step, lambda state: state, lambda state: (), 1),
        data=(),
        keys=jax.random.split(jax.random.key(0), 4),
        iterations=4,
        chunk=2,
    )
    directory = RunDirectory.create(sys.argv[1], {}) if sys.argv[1:] else None
    session = Session(directory, checkpoint_interval_s=0.0)
    before = memory.peak_memory_mb()
    cut, _ = parts.run(phase, session)
    program = cut.programs(True).peak_bytes / 2**20
    found = {"before": before, "program": program, "predicted": cut.predicted_memory_mb}
    print(json.dumps(found | {"measured": memory.peak_memory_mb(), "lanes": cut.phases[0].lanes}))


if __name__ == "__main__":
    main()
