"""The same work on one CPU device and on two, in two processes that take turns.

A process cannot have one device and two, so each has its own, compiles, and then waits: it does one
turn for every line that it is sent, and answers with the seconds. The other one is idle meanwhile.

    python -m evil.benchmarks.devices --devices cpu:2 irl_plus hopper
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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

DEVICES = ("cpu:1", "cpu:2")
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
    """Seconds of turns with one device and with two, and the median of their ratios by pairs.

    `what` is irl_plus or ppo, one iteration of either, or stepping, the bare environment.
    """
    if what not in WORK:
        raise unknown("work", what, WORK)
    work = [what, env_name, "--preset", preset, *(["--backend", backend] if backend else [])]
    seconds: dict[str, list[float]] = {devices: [] for devices in DEVICES}
    with contextlib.ExitStack() as stack:
        racers = {devices: stack.enter_context(_racer(devices, work)) for devices in DEVICES}
        for racer in racers.values():
            _answer(racer, READY)
        for turn in range(turns):
            # Each begins every other pair, so that neither always runs on the warmer machine.
            for devices in DEVICES if turn % 2 else DEVICES[::-1]:
                stdin = racers[devices].stdin
                assert stdin is not None
                _say(stdin, "turn")
                seconds[devices].append(float(_answer(racers[devices])))
    pairs = zip(*seconds.values(), strict=True)
    return {
        "seconds": seconds,
        "two_over_one": statistics.median(two / one for one, two in pairs),
    }


@contextlib.contextmanager
def _racer(devices: str, work: list[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--devices", devices, *work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
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


def playing(env_name: str, preset: str, backend: str | None) -> Contestant:
    """One iteration of IRL++, whose members are divided among the devices."""
    config = presets.recovery(env_name, preset, irl_plus=True, backend=backend)
    study = recover.study(config)
    phase = study.imitating("irl", study.game, jax.random.key(0), config.iterations)
    return driven(dataclasses.replace(phase, chunk=1))


def learning(env_name: str, preset: presets.Preset, backend: str | None) -> Contestant:
    """One iteration of PPO on the real reward, whose worlds are divided among the devices."""
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


def stepping(env_name: str, preset: str, backend: str | None) -> Contestant:
    """Steps of the bare environment under random actions, half of the worlds in each of two lanes.

    With one device the lanes are one batch of all worlds, as they would be without lanes.
    """
    learner = presets.recovery(env_name, preset, irl_plus=True).algorithm.learner
    assert isinstance(learner, ppo.Config)
    env = environments.make(env_name, backend)
    advance, _ = random_stepping(env, learner.num_envs // 2, learner.num_steps)

    def init(key: Key, data: PyTree) -> PyTree:
        del data
        worlds = jax.vmap(env.reset, (0, None))(
            jax.random.split(key, learner.num_envs // 2), env.params
        )
        return worlds, jax.random.fold_in(key, 1)

    def step(state: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        del data
        return advance(state), {}

    phase = Phase(
        name="stepping",
        algorithm=Algorithm(init, step, lambda state: state, lambda state: (), 0),
        data=(),
        keys=jax.random.split(jax.random.key(0), 2),
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
    parser.add_argument("--devices")
    asked = parser.parse_args()
    contestant = WORK[asked.what](asked.env, asked.preset, asked.backend)
    _say(sys.stdout, READY)
    state = contestant.state
    for _ in sys.stdin:
        started = time.perf_counter()
        state = jax.block_until_ready(contestant.advance(state))
        _say(sys.stdout, repr(time.perf_counter() - started))


if __name__ == "__main__":
    command.main(serve)
