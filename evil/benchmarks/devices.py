"""The same work on one device and on all that there are, in two processes that take turns.

A process cannot have one device and several, so each has its own, compiles, and then waits: it does
one turn for every line that it is sent, and answers with the seconds. The other one is idle
meanwhile.

    python -m evil.benchmarks.devices --devices cpu:2 irl_plus hopper
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import jax

from evil import environments
from evil.benchmarks.programs import random_stepping
from evil.benchmarks.timing import Contestant, driven
from evil.errors import UserError, unknown
from evil.experiments import recover
from evil.experiments.settings import presets
from evil.learners import alone, ppo
from evil.rewards import fixed
from evil.running import command
from evil.running.runner import Phase
from evil.seams import Algorithm, Key, Metrics, PyTree

READY = "ready"


def comparison(env_name: str, turns: int, preset: str) -> dict[str, Any]:
    """Of the main study's game, of its learner alone, and of stepping on the spring backend."""
    return {
        "env": env_name,
        "irl_plus": race_devices("irl_plus", env_name, turns, preset),
        "ppo": race_devices("ppo", env_name, turns, preset),
        "stepping": race_devices("stepping", env_name, turns, preset, "spring"),
    }


def race_devices(
    what: str, env_name: str, turns: int = 5, preset: str = "quick", backend: str | None = None
) -> dict[str, Any]:
    """Seconds of turns with one device and with all, and the median of their ratios by pairs.

    `what` is irl_plus or ppo, one iteration of either, or stepping, the bare environment.
    """
    if what not in WORK:
        raise unknown("work", what, WORK)
    sides = one_and_all()
    work = [what, env_name, "--preset", preset, "--lanes", str(jax.local_device_count())]
    work += ["--backend", backend] if backend else []
    seconds: dict[str, list[float]] = {devices: [] for devices in sides}
    with contextlib.ExitStack() as stack:
        racers = {devices: stack.enter_context(_racer(devices, work)) for devices in sides}
        for racer in racers.values():
            _answer(racer, READY)
        for turn in range(turns):
            # Each begins every other pair, so that neither always runs on the warmer machine.
            for devices in sides if turn % 2 else sides[::-1]:
                stdin = racers[devices].stdin
                assert stdin is not None
                _say(stdin, "turn")
                seconds[devices].append(float(_answer(racers[devices])))
    pairs = zip(*seconds.values(), strict=True)
    return {
        "seconds": seconds,
        "all_over_one": statistics.median(every / one for one, every in pairs),
    }


def one_and_all() -> tuple[str, str]:
    """One device of the kind that is here, and all of them, as `--devices` names them."""
    kind, count = jax.default_backend(), jax.local_device_count()
    if kind == "tpu" or count == 1:
        raise UserError(
            f"a comparison of devices needs several CPU devices or GPUs: found {kind}:{count}."
        )
    return f"{kind}:1", f"{kind}:{count}"


@contextlib.contextmanager
def _racer(devices: str, work: list[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--devices", devices, *work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # both have the first GPU
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _answer(process: subprocess.Popen, expected: str = "") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line or (expected and line != expected):
        raise UserError("a process of the benchmark has ended before its turn, as said above.")
    return line


def _say(stream: IO[str], line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


def playing(env_name: str, preset: str, backend: str | None, lanes: int) -> Contestant:
    """One iteration of IRL++ in one lane, whose members are divided among the devices."""
    del lanes
    config = presets.recovery(env_name, preset, irl_plus=True, backend=backend)
    study = recover.study(config)
    phase = study.imitating("irl", study.game, jax.random.key(0), config.iterations)
    return driven(dataclasses.replace(phase, chunk=1))


def learning(env_name: str, preset: presets.Preset, backend: str | None, lanes: int) -> Contestant:
    """One iteration of PPO in one lane, whose worlds are divided among the devices."""
    del lanes
    size, env = presets.size(env_name, preset), environments.make(env_name, backend)
    learner = ppo.make(size.for_iterations(size.iterations), env, fixed.real())
    phase = Phase(
        name="ppo",
        algorithm=alone.make(learner),
        data=(),
        keys=jax.random.split(jax.random.key(0), 1),
        iterations=1,
        chunk=1,
    )
    return driven(phase)


def stepping(env_name: str, preset: str, backend: str | None, lanes: int) -> Contestant:
    """Steps of the bare environment under random actions, the worlds divided among the lanes.

    With one device the lanes are one batch of all worlds, as they would be without lanes.
    """
    learner = presets.recovery(env_name, preset, irl_plus=True).algorithm.learner
    assert isinstance(learner, ppo.Config)
    env = environments.make(env_name, backend)
    worlds_each = learner.num_envs // lanes
    advance, _ = random_stepping(env, worlds_each, learner.num_steps)

    def init(key: Key, data: PyTree) -> PyTree:
        del data
        worlds = jax.vmap(env.reset, (0, None))(jax.random.split(key, worlds_each), env.params)
        return worlds, jax.random.fold_in(key, 1)

    def step(state: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        del data
        return advance(state), {}

    phase = Phase(
        name="stepping",
        algorithm=Algorithm(init, step, lambda state: state, lambda state: (), 0),
        data=(),
        keys=jax.random.split(jax.random.key(0), lanes),
        iterations=1,
        chunk=1,
    )
    return driven(phase)


WORK = {"irl_plus": playing, "ppo": learning, "stepping": stepping}


def serve() -> None:
    """Compile, say so, and do one turn for every line on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=sorted(WORK))
    parser.add_argument("env")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--backend")
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--devices")
    asked = parser.parse_args()
    contestant = WORK[asked.what](asked.env, asked.preset, asked.backend, asked.lanes)
    _say(sys.stdout, READY)
    state = contestant.state
    for _ in sys.stdin:
        started = time.perf_counter()
        state = jax.block_until_ready(contestant.advance(state))
        _say(sys.stdout, repr(time.perf_counter() - started))


if __name__ == "__main__":
    command.main(serve)
