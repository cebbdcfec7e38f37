"""An expert by exact planning, in a finite world: nothing is trained, and its worth is known.

The demonstrator is the soft optimum of the true reward at a temperature, over an infinite horizon
with a discount: a policy that does not depend on time. It is shipped as a network that looks up its
logits, so whatever plays policies plays it; beside it lies the optimum itself. On the 50x50
gridworld the defaults return 8.858 in 78.4 steps, as the demonstrator of the literature's tutorial
does (8.858 in 78.6), whose weights are not available.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import environments, normalise
from evil.config import to_dict
from evil.demonstrations import Demonstrations, catalogue, from_episodes, save
from evil.errors import UserError, at_least
from evil.evaluation import episodes
from evil.experiments.shared import artefacts
from evil.learners import policies
from evil.networks import actor_critic
from evil.running.directory import versions
from evil.seams import Policy
from evil.tabular import occupancy, planning, worlds
from evil.tabular.worlds import World

PATIENT = 0.999  # discount of the optimum: no detour through 100 cells is worth a loss
NETWORK = actor_critic.Config(hidden=(), embed=True)
SURE = 100.0  # nats by which the optimum prefers its action


@dataclasses.dataclass(frozen=True)
class Config:
    """An expert by planning."""

    env: str = "gridworld50"
    """Environment whose observations number its states: gridworld50."""
    seed: int = 0
    """Seed of the demonstrations."""
    num_demos: int = 10_000
    """Episodes to demonstrate."""
    discount: float = 0.98
    """Discount of the plan."""
    temperature: float = 0.0480757
    """Temperature of the demonstrator, reward units per nat; 0: the optimum demonstrates."""
    replace: bool = False
    """Whether an expert that is there already may be replaced."""
    file: str | None = None
    """Only write the demonstrations, to this file."""


def study(config: Config) -> Callable[[], Path]:
    """Check everything; what is returned plans, plays, and ships the expert or writes the file."""
    at_least(1, num_demos=config.num_demos)
    at_least(0, temperature=config.temperature)
    planning.check(None, config.discount, "zero")
    world = worlds.make(environments.canonical(config.env))
    if not world.spec.obs_sizes:
        raise UserError(
            f"the observations of {config.env} do not number its states: expected gridworld50."
        )
    folder = catalogue.directory(world.spec.name)
    taken = Path(config.file) if config.file else folder
    if taken.exists() and not config.replace:
        raise UserError(f"{taken} is there already: replace it with --replace.")
    return functools.partial(_carry_out, config, world, folder)


def _carry_out(config: Config, world: World, folder: Path) -> Path:
    soft = expert(world, config.discount, config.temperature)
    demos = collect(world, soft, config.seed, config.num_demos)
    card = _card(config, world, soft, demos)
    if config.file:
        return save(Path(config.file), demos, world.spec, card)
    best = expert(world, PATIENT, 0.0)
    scratch = folder.parent / f".{folder.name}-policies"
    files = [
        artefacts.save_policy(scratch / name, policy, NETWORK, world.spec, actions="sampled")
        for name, policy in (("policy", soft), ("optimal", best))
    ]
    try:
        return catalogue.write(world.spec, demos, files, card)
    finally:
        for path in scratch.iterdir():
            path.unlink()
        scratch.rmdir()


def expert(world: World, discount: float, temperature: float) -> Policy:
    """The soft optimum as a policy of tables, its critic the discounted true return."""

    def compute() -> dict[str, Any]:
        mdp = world.mdp
        found = planning.stationary(
            mdp, mdp.reward, discount=discount, temperature=temperature, terminal="zero"
        )
        value = occupancy.policy_values(
            mdp, mdp.reward, found.policy, world.horizon, discount=discount
        )
        logits = jnp.log(jnp.maximum(found.policy, jnp.exp(-SURE)))
        tables = {"actor_network": logits, "critic_network": value[:, None]}
        return {
            "network": {"params": {name: {"output": {"table": x}} for name, x in tables.items()}},
            "obs_moments": normalise.init(world.spec.obs_shape),
        }

    module = actor_critic.make(NETWORK, world.spec)
    return policies.make(NETWORK, module, jax.jit(compute)())


def table(policy: Policy) -> jax.Array:
    """The probabilities `[S, A]` of an expert's policy."""
    return jax.nn.softmax(policy.params["network"]["params"]["actor_network"]["output"]["table"])


def collect(world: World, policy: Policy, seed: int, num_episodes: int) -> Demonstrations:
    """Full episodes in the environment itself."""
    env = environments.make(world.spec.name)

    def run(params: Any, key: jax.Array) -> Any:
        playing = dataclasses.replace(policy, params=params)
        return episodes.play(env, playing, key, num_episodes)

    played = jax.device_get(jax.jit(run)(policy.params, jax.random.key(seed)))
    return from_episodes(
        [
            {
                "obs": played.obs[index, : length + 1],
                "action": played.action[index, :length],
                "reward": played.reward[index, :length],
                "terminated": played.terminated[index],
            }
            for index, length in enumerate(played.length)
        ]
    )


def _card(config: Config, world: World, soft: Policy, demos: Demonstrations) -> dict[str, Any]:
    """What is exactly true of the expert, and what its episodes happened to return."""
    judge = jax.jit(lambda table: occupancy.prospects(world.mdp, table, world.horizon))
    probabilities = table(soft)
    mode = jax.nn.one_hot(jnp.argmax(probabilities, axis=-1), world.mdp.num_actions)
    policies = {
        "soft": probabilities,
        "mode": mode,
        "random": occupancy.uniform(world.mdp),
        "optimal": table(expert(world, PATIENT, 0.0)),
    }
    found = {name: judge(policy) for name, policy in policies.items()}
    happened = np.asarray(demos.reward).sum(axis=1)
    return {
        "return_mean": float(found["soft"].value),
        "return_std": float(happened.std()),
        "return_mean_of_mode": float(found["mode"].value),
        "return_mean_of_samples": float(found["soft"].value),
        "return_mean_of_optimum": float(found["optimal"].value),
        "return_mean_of_demonstrations": float(happened.mean()),
        "random_return_mean": float(found["random"].value),
        "length_mean": float(found["soft"].length),
        "success_rate": float(found["soft"].arrival),
        "exact": True,
        "episodes": config.num_demos,
        "actions": "sampled",
        "env_steps": 0,
        "versions": versions(),
        "config": to_dict(config),
    }
