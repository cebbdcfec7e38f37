"""An ensemble of reward models trained on independent batches, scored as one.

    mean                 r(x) = mean_e r_e(x)
    minimum              r(x) = min_e r_e(x)
    mean_minus_deviation r(x) = mean_e r_e(x) - k std_e r_e(x)

Reference: sapora2024evil
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import Array
from tyro.conf import subcommand

from evil import parallel, registry
from evil.errors import at_least, unknown
from evil.rewards import adversarial, moment_matching
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Transition

REDUCTIONS = ("mean", "minimum", "mean_minus_deviation")


@dataclasses.dataclass(frozen=True)
class Config:
    """An ensemble of reward models."""

    member: (
        Annotated[moment_matching.Config, subcommand("moment_matching")]
        | Annotated[adversarial.Config, subcommand("adversarial")]
    ) = moment_matching.Config()
    """What each member is."""
    size: int = 5
    """Number of members."""
    reduction: Literal["mean", "minimum", "mean_minus_deviation"] = "mean"
    """How the members' rewards become one."""
    pessimism: float = 1.0
    """k of mean_minus_deviation."""


def reduce(values: Array, reduction: str, pessimism: float = 1.0) -> Array:
    """One reward `[...]` from the members' `[E, ...]`."""
    if reduction == "mean":
        return values.mean(axis=0)
    if reduction == "minimum":
        return values.min(axis=0)
    if reduction == "mean_minus_deviation":
        return values.mean(axis=0) - pessimism * values.std(axis=0)
    raise unknown("ensemble reduction", reduction, REDUCTIONS)


def make(config: Config, env: Environment) -> RewardModel:
    """Vectorise any reward model over its members, with a state of leading axis `[E]`."""
    at_least(1, size=config.size)
    at_least(0, pessimism=config.pessimism)
    if config.reduction not in REDUCTIONS:
        raise unknown("ensemble reduction", config.reduction, REDUCTIONS)
    member: RewardModel = registry.make(config.member, env)
    size = config.size
    improve = parallel.shared_vmap(member.update, (0, 0, 0, 0), "members")

    def init(key: Key, demos: PyTree) -> PyTree:
        return jax.vmap(member.init, (0, None))(jax.random.split(key, size), demos)

    def apply(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        values, memory = jax.vmap(member.score.apply, (0, 0, None))(params, memory, transitions)
        return reduce(values, config.reduction, config.pessimism), memory

    def memory(batch: int) -> PyTree:
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (size, *x.shape)), member.score.memory(batch)
        )

    def update(
        key: Key, state: PyTree, agent: Transition, expert: Transition
    ) -> tuple[PyTree, Metrics]:
        agent, expert = jax.tree.map(
            lambda x: x.reshape((size, member.batch_size, *x.shape[1:])), (agent, expert)
        )
        keys = jax.random.split(key, size)
        state, metrics = improve(keys, state, agent, expert)
        return state, jax.tree.map(jnp.mean, metrics)

    return RewardModel(
        init=init,
        params=jax.vmap(member.params),
        score=dataclasses.replace(member.score, apply=apply, memory=memory),
        update=update,
        batch_size=size * member.batch_size,
    )
