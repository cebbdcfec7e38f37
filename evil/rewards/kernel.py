"""Moment matching with a kernel instead of a network: the witness of a maximum mean discrepancy.

    r(x) = mean_j k(x, e_j) - mean_i k(x, a_i),    k = Σ_b exp(-|x - y|² / (F m_b))

over expert rows e and recent agent rows a, F standardised features each. The two bandwidths are
medians of |x - y|² / F: m_1 among experts, m_2 between experts and agent, averaged over the first
updates and then kept. There is nothing else to fit: an update takes in the agent's latest rows.

The absorbing state is like itself, k = 2, and unlike every other: its witness is twice the share of
time that the expert spends there, less twice the agent's.

Reference: kim2018gmmil
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil import normalise
from evil.demonstrations.demonstrations import Demonstrations, moments_of, sample
from evil.errors import at_least, unknown
from evil.pytrees import pytree
from evil.rewards import absorbing, contrast, features, levels, memoryless
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Transition

BLOCK = 1024  # rows whose kernels are held in memory at once


@dataclasses.dataclass(frozen=True)
class Config:
    """A kernel witness."""

    inputs: features.Inputs = "sa"
    """What it sees: see `evil.rewards.features`."""
    expert_rows: int = 1024
    """Rows of the demonstrations that are compared with, drawn once."""
    batch_size: int = 512
    """The agent's rows that are compared with: those of the latest update."""
    bandwidth_updates: int = 50
    """Updates whose medians are averaged to the second bandwidth; it is then kept."""
    baseline: levels.Kind = "none"
    """What is subtracted: see `evil.rewards.levels`."""
    absorbing_steps: int = 0
    """Steps in the absorbing state by which an end is followed: see `evil.rewards.absorbing`."""
    deviation_floor: float = 1e-3
    """Least standard deviation by which an input is divided."""


@pytree
class State:
    """The rows on either side."""

    expert: Array  # [M, F] standardised
    agent: Array  # [N, F]
    bandwidths: Array  # [2]
    beyond: Array  # [2] shares of time that expert and agent spend in the absorbing state
    baseline: Array  # []
    moments: normalise.Moments
    count: Array  # [] int32, updates so far


def distances(x: Array, y: Array) -> Array:
    """Squared distances `[N, M]` of rows `[N, F]` and `[M, F]`, divided by F."""
    squares = jnp.sum(jnp.square(x), -1)[:, None] + jnp.sum(jnp.square(y), -1)[None, :]
    return jnp.maximum(squares - 2.0 * x @ y.T, 0.0) / x.shape[-1]


def similarity(x: Array, y: Array, bandwidths: Array) -> Array:
    """Mean kernel `[N]` of every row of `x` with the rows of `y`."""
    apart = distances(x, y)
    return sum((jnp.exp(-apart / width).mean(-1) for width in bandwidths), jnp.zeros(x.shape[0]))


def witness(x: Array, expert: Array, agent: Array, bandwidths: Array) -> Array:
    """Where the expert is more often than the agent: `[N]`, above 0."""
    return similarity(x, expert, bandwidths) - similarity(x, agent, bandwidths)


def bandwidth(x: Array, y: Array) -> Array:
    """The median distance, kept from zero."""
    return jnp.median(distances(x, y)) + 1e-8


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the witness to an environment's observations and actions."""
    at_least(
        1,
        expert_rows=config.expert_rows,
        batch_size=config.batch_size,
        bandwidth_updates=config.bandwidth_updates,
    )
    if config.inputs not in features.NAMES:
        raise unknown("reward inputs", config.inputs, features.NAMES)
    levels.check(config.baseline)
    at_least(0, absorbing_steps=config.absorbing_steps)
    spec = env.spec

    def look(moments: normalise.Moments, rows: Transition) -> Array:
        units = features.units(moments, floor=config.deviation_floor)
        return features.standardise(*units, features.select(config.inputs, spec, rows))

    def init(key: Key, demos: Demonstrations) -> State:
        found = moments_of(demos, lambda rows: features.select(config.inputs, spec, rows))
        expert = look(found, sample(key, demos, config.expert_rows))
        among = bandwidth(expert, expert)
        ends = moments_of(demos, lambda rows: rows.terminated[..., None]).mean[0]
        return State(
            expert=expert,
            agent=jnp.zeros((config.batch_size, expert.shape[-1])),
            bandwidths=jnp.stack([among, among]),
            beyond=jnp.stack([absorbing.share(ends, config.absorbing_steps), jnp.zeros(())]),
            baseline=jnp.zeros(()),
            moments=found,
            count=jnp.zeros((), jnp.int32),
        )

    def params(state: State) -> PyTree:
        return {
            "expert": state.expert,
            "agent": state.agent,
            "has_agent": (state.count > 0).astype(jnp.float32),
            "bandwidths": state.bandwidths,
            "beyond": state.beyond,
            "baseline": state.baseline,
            "moments": state.moments,
        }

    def witnessed(params: PyTree, rows: Transition) -> Array:
        x = look(params["moments"], rows)
        here = 1.0 - params["beyond"]

        def block(x: Array) -> Array:
            found = similarity(x[None], params["expert"], params["bandwidths"])
            against = similarity(x[None], params["agent"], params["bandwidths"])
            return (here[0] * found - params["has_agent"] * here[1] * against)[0]

        rewards = jax.lax.map(block, x.reshape((-1, x.shape[-1])), batch_size=BLOCK)
        return rewards.reshape(x.shape[:-1]) - params["baseline"]

    def score(params: PyTree, rows: Transition) -> Array:
        rewards = witnessed(params, rows)
        if not config.absorbing_steps:
            return rewards
        value = 2.0 * (params["beyond"][0] - params["beyond"][1]) - params["baseline"]
        return absorbing.continued(rewards, rows, value, config.absorbing_steps)

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        del key
        rows = look(state.moments, agent)
        now = bandwidth(state.expert, rows)
        spent = absorbing.share(agent.terminated.mean(), config.absorbing_steps)
        share = jnp.where(state.count < config.bandwidth_updates, 1.0 / (state.count + 1.0), 0.0)
        between = state.bandwidths[1] + share * (now - state.bandwidths[1])
        state = dataclasses.replace(
            state,
            agent=rows,
            beyond=state.beyond.at[1].set(spent),
            bandwidths=state.bandwidths.at[1].set(between),
            count=state.count + 1,
        )
        found = params(state)
        paid = witnessed(found, agent)
        level = levels.track(
            config.baseline, state.baseline, paid + state.baseline, state.count - 1
        )
        metrics = contrast.metrics(paid, witnessed(found, expert))
        return dataclasses.replace(state, baseline=level), metrics

    return RewardModel(
        init=init,
        params=params,
        score=memoryless(score, pays_absorbing=config.absorbing_steps > 0),
        update=update,
        batch_size=config.batch_size,
    )
