"""What the gradient of maximum causal entropy costs, for one reward and for a hundred."""

from __future__ import annotations

from typing import Any

import jax
from jax import Array

from evil import registry
from evil.benchmarks.timing import driven, prepare, race
from evil.config import override
from evil.experiments.settings import presets
from evil.experiments.shared.problem import read_problem
from evil.running.runner import Phase
from evil.tabular import planning, trajectories, worlds
from evil.tabular.fitting import Task

LANES = 100


def fits(env_name: str, turns: int = 7) -> dict[str, Any]:
    """Seconds of one gradient of the soft value, and of a fit's update, alone and in lanes.

    Lanes are rewards that begin differently; like all lanes they are spread over the devices.
    """
    config = presets.finite_world(env_name, "mce", "quick")
    world = worlds.make(config.env)
    demos = read_problem(config).demos
    task = Task(
        mdp=world.mdp,
        demos=trajectories.read(demos, world.state_of, world.mdp, world.horizon),
    )
    begun = {"algorithm.fit.reward.spread": 0.1, "algorithm.fit.updates_per_iteration": 1}
    algorithm = registry.make(override(config, begun).algorithm, world)

    def value(table: Array) -> Array:
        return planning.soft_value(world.mdp, table, world.horizon)

    def lanes(number: int) -> Phase:
        keys = jax.random.split(jax.random.key(0), number)
        return Phase(name="mce", algorithm=algorithm, data=task, keys=keys, iterations=10, chunk=1)

    contestants = {
        "gradient": prepare(jax.grad(value), world.mdp.reward),
        "one_lane": driven(lanes(1)),
        "lanes": driven(lanes(LANES)),
    }
    seconds = race(contestants, turns)
    return {
        "env": config.env,
        "horizon": world.horizon,
        "states": world.mdp.num_states,
        "seconds": seconds,
        "lanes": LANES,
        "lanes_over_one": seconds["lanes"] / seconds["one_lane"],
    }
