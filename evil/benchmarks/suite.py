"""The suite: what everything costs, beside what it cannot cost less than.

Environment steps per second, seconds of compiling, peak memory, and two rooflines of each program:
the bare environment for as many steps, and its matrix products at the rate of one large product.
All take turns in one process, and the seconds of every turn are kept, for a later comparison.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax

from evil import environments
from evil.benchmarks.programs import random_stepping
from evil.benchmarks.roofline import large_product, product_flops
from evil.benchmarks.timing import Contestant, driven, prepare, turns_of
from evil.demonstrations import catalogue
from evil.experiments import shape
from evil.experiments.settings import presets, sizes_sac
from evil.imitation import irl
from evil.learners import ppo, sac
from evil.rewards import fixed
from evil.running import memory
from evil.running.runner import run
from evil.seams import PyTree

REFERENCE = "large_product"  # what the machine's speed of the day is measured by
SAC_ENV = "pendulum"
EVIL_ENV = "pendulum"
ROOF = {"sac_update": "", "generation": ""}  # what is not beside the bare environment


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contestant, and what a call of it does."""

    contestant: Contestant
    env_steps: int
    flops: float  # of its matrix products


def suite(env_name: str = "hopper", preset: str = "quick", turns: int = 7) -> dict[str, Any]:
    """All figures at a preset: environment, PPO and IRL++ of `env_name`, SAC, and EvIL."""
    entries = _players(env_name, preset)
    entries["sac_update"] = _sac(preset)
    entries["generation"] = _generation(preset)
    reference, flops = large_product()
    contestants = {name: entry.contestant for name, entry in entries.items()}
    seconds = turns_of(contestants | {REFERENCE: reference}, turns)
    rate = flops / statistics.median(seconds[REFERENCE])
    step_s = statistics.median(seconds["environment"]) / entries["environment"].env_steps
    figures = {}
    for name, entry in entries.items():
        median = statistics.median(seconds[name])
        roofs = {"products_s": entry.flops / rate}
        if name not in ROOF:
            roofs["environment_s"] = step_s * entry.env_steps
        figures[name] = {
            "seconds": median,
            "env_steps_per_s": entry.env_steps / median if entry.env_steps else None,
            "compile_s": entry.contestant.compile_s,
            "program_memory_mb": entry.contestant.peak_bytes / 2**20,
            "roofline": roofs | {"share": sum(roofs.values()) / median},
        }
    return {
        "env": env_name,
        "preset": preset,
        "devices": [device.device_kind for device in jax.devices()],
        "products_per_s": rate,
        "figures": figures,
        "peak_memory_mb": memory.peak_memory_mb(),
        "turns": seconds,
    }


def _players(env_name: str, preset: str) -> dict[str, Entry]:
    config = presets.recovery(env_name, preset, irl_plus=True)
    env = environments.make(config.env, config.backend)
    demos, _ = catalogue.demonstrations(env.spec)
    learner_config = config.algorithm.learner
    assert isinstance(learner_config, ppo.Config)
    learner, game = ppo.make(learner_config, env, fixed.real()), irl.make(config.algorithm, env)
    key, steps = jax.random.key(0), learner.steps_per_iteration
    stepping = random_stepping(env, learner_config.num_envs, learner_config.num_steps)
    return {
        "environment": _entry(*stepping, steps),
        "ppo": _entry(lambda state: learner.step(state, ())[0], jax.jit(learner.init)(key), steps),
        "irl_plus": _entry(
            lambda state: game.step(state, demos)[0],
            jax.jit(game.init)(key, demos),
            game.steps_per_iteration,
        ),
    }


def _sac(preset: str) -> Entry:
    """An iteration of SAC, which is mostly its updates."""
    config = sizes_sac.size(SAC_ENV).learner
    if preset == "smoke":
        config = dataclasses.replace(config, capacity=1000)
    learner = sac.make(config, environments.make(SAC_ENV), fixed.real())
    state = jax.jit(learner.init)(jax.random.key(0))
    return _entry(lambda state: learner.step(state, ())[0], state, learner.steps_per_iteration)


def _generation(preset: str) -> Entry:
    """A generation of EvIL, spread over all devices as the runner does."""
    config = dataclasses.replace(presets.evolution(EVIL_ENV, preset), real=True)
    study, key = shape.study(config), jax.random.key(0)
    phase = study.evolving(key, study.critic(run(study.learning(key)).states))
    phase = dataclasses.replace(phase, chunk=1)
    state = jax.eval_shape(phase.algorithm.init, phase.keys[0], phase.data_of(0))
    flops = product_flops(phase.algorithm.step, state, phase.data_of(0))
    return Entry(driven(phase), phase.algorithm.steps_per_iteration, flops)


def _entry(advance: Callable[[PyTree], PyTree], state: PyTree, env_steps: int) -> Entry:
    return Entry(prepare(advance, state), env_steps, product_flops(advance, state))


def relative(seconds: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Seconds of every turn, in units of the reference in the same turn."""
    return {
        name: [one / unit for one, unit in zip(found, seconds[REFERENCE], strict=True)]
        for name, found in seconds.items()
        if name != REFERENCE
    }
