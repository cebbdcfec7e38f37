"""Primal Wasserstein imitation: every step is matched with the nearest expert rows still free.

    r_t = α exp(-β c_t / √F),    c_t = mean distance of the rows that step t takes up

Expert and episode have the same mass in all. A step's share of it takes up that of the nearest
expert rows, a row's remainder going to later steps: a greedy coupling, whose cost bounds the
Wasserstein distance of expert and episode from above. Nothing is learned, but the reward has
memory: what the episode has taken so far.

Masses are whole numbers, so the coupling is exact: with n rows and episodes of T steps at most, a
row weighs T and a step n. The radius up to which rows are taken up is found by bisection over the
bits of a float, without sorting. A step for which nothing is left is paid nothing.

Reference: dadashi2021pwil
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations, moments_of, transitions
from evil.errors import UserError, at_least, unknown
from evil.pytrees import pytree, traced
from evil.rewards import contrast, features
from evil.seams import Environment, Key, RewardModel, Score, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """A greedy coupling."""

    inputs: features.Inputs = "sa"
    """What distances are of: see `evil.rewards.features`."""
    max_rows: int = 1000
    """Expert rows that are matched with: all, or so many, evenly spread over the demonstrations."""
    scale: float = 5.0
    """α: the reward of a perfect match. Traced."""
    bandwidth: float = 5.0
    """β: how fast rewards fall with the distance. Traced."""
    batch_size: int = 256
    """Rows of either side in one update, which only measures."""
    deviation_floor: float = 1e-6
    """Deviation at or below which an input is not divided."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each."""

    scale: Array
    bandwidth: Array


@pytree
class State:
    """The expert's rows; nothing changes after `init`."""

    rows: Array  # [D, F] standardised
    count: Array  # [] int32: how many of them there are, the first ones
    mean: Array  # [F]
    std: Array
    hyper: Hyper


def take(distance: Array, free: Array, need: Array) -> Array:
    """What a step of mass `need []` takes of every row `[D]`: the nearest first, ties in order.

    `distance [D]` is not negative, `free [D]` and the result are int32. Where less than `need` is
    left, all of it is taken.
    """
    # Floats that are not negative are ordered as their bits are.
    bits = jax.lax.bitcast_convert_type(distance.astype(jnp.float32) + 0.0, jnp.int32)

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds  # everything within `high` suffices, within `low` it does not
        middle = low + (high - low) // 2
        enough = jnp.sum(jnp.where(bits <= middle, free, 0)) >= need
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    start = (jnp.full_like(need, -1), jnp.full_like(need, jnp.iinfo(jnp.int32).max - 1))
    _, radius = jax.lax.fori_loop(0, 31, halve, start)
    inside = jnp.where(bits < radius, free, 0)
    border = jnp.where(bits == radius, free, 0)
    before = jnp.cumsum(border) - border
    return inside + jnp.clip(need - inside.sum() - before, 0, border)


def couple(distance: Array, free: Array, need: Array) -> tuple[Array, Array, Array]:
    """Mean distance `[]` of what is taken, what is left `[D]`, and whether it sufficed."""
    taken = take(distance, free, need)
    cost = jnp.sum(taken.astype(jnp.float32) * distance) / need
    return cost, free - taken, taken.sum() >= need


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the coupling to an environment's observations, actions and time limit."""
    at_least(1, max_rows=config.max_rows, batch_size=config.batch_size)
    if config.inputs not in features.NAMES:
        raise unknown("reward inputs", config.inputs, features.NAMES)
    spec, size, limit = env.spec, config.max_rows, env.spec.time_limit
    if size * limit >= 2**31:
        raise UserError(
            f"max_rows {size} times a time limit of {limit} steps is more than masses can count: "
            f"expected max_rows below {2**31 // limit}."
        )
    breadth = features.size(config.inputs, spec) ** 0.5

    def look(mean: Array, std: Array, rows: Transition) -> Array:
        return features.standardise(mean, std, features.select(config.inputs, spec, rows))

    def pay(hyper: Hyper, cost: Array) -> Array:
        return hyper.scale * jnp.exp(-hyper.bandwidth / breadth * cost)

    def init(key: Key, demos: Demonstrations) -> State:
        del key
        found = moments_of(demos, lambda rows: features.select(config.inputs, spec, rows))
        deviation = jnp.sqrt(found.variance)
        std = jnp.where(deviation > config.deviation_floor, deviation, 1.0)
        count = jnp.minimum(demos.count, size)
        chosen = jnp.arange(size) * demos.count // jnp.maximum(count, 1)
        spread = demos.rows[jnp.minimum(chosen, demos.count - 1)]
        rows = look(found.mean, std, transitions(demos, spread))
        hyper = traced(Hyper, config)
        return State(rows=rows, count=count, mean=found.mean, std=std, hyper=hyper)

    def apart(state: State, x: Array) -> Array:
        """Distances `[..., D]` of standardised steps `[..., F]`."""
        rows = state.rows
        squares = jnp.sum(jnp.square(x), -1, keepdims=True) - 2.0 * x @ rows.T
        norms = jnp.sum(jnp.square(rows), -1)
        return jnp.sqrt(jnp.maximum(squares + norms.reshape((1,) * (x.ndim - 1) + (-1,)), 0.0))

    def apply(params: State, used: Array, rows: Transition) -> tuple[Array, Array]:
        """Rewards `[T, B]`, after an episode has used up `used [B, D]` of the rows' masses."""
        mass = jnp.where(jnp.arange(size) < params.count, limit, 0)
        done = rows.terminated | rows.truncated

        def step(used: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            x, ended = inputs
            cost, left, sufficed = jax.vmap(couple, (0, 0, None))(
                apart(params, x), mass[None] - used, params.count
            )
            rewards = jnp.where(sufficed, pay(params.hyper, cost), 0.0)
            return jnp.where(ended[:, None], 0, mass[None] - left), rewards

        used, rewards = jax.lax.scan(step, used, (look(params.mean, params.std, rows), done))
        return rewards, used

    def paid_first(state: State, rows: Transition) -> Array:
        """What steps would be paid if they were the first of their episodes."""
        filled = jnp.where(jnp.arange(size) < state.count, 0.0, jnp.inf)
        away = apart(state, look(state.mean, state.std, rows)) + filled[None]
        return pay(state.hyper, away.min(axis=-1))

    def memory(batch: int) -> Array:
        return jnp.zeros((batch, size), jnp.int32)

    return RewardModel(
        init=init,
        params=lambda state: state,
        score=Score(apply=apply, memory=memory),
        update=contrast.measuring(paid_first),
        batch_size=config.batch_size,
    )
