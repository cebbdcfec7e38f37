"""EvIL: evolve a shaping term so that learners trained on a frozen reward learn fast.

    max_θ  E_seed[ fitness of a learner trained from scratch on r + F(Φ_θ) ]

One `step` is a generation: every member of a population of potentials shapes the reward of fresh
learners, and an evolution strategy moves the population's mean towards those whose learners did
best. The mean is the result; a single member's luck never is.

    plain        every learner lives its whole life in every generation
    unrolls      `unroll` iterations per generation, the learners living on under the next members
    halving      lives in `rungs` parts, after each of which the worse half of the members goes

Partners of an antithetic pair share their random numbers, and so do all members where there are
no pairs.

Reference: sapora2024evil, vicol2021unbiased, li2023noise, jamieson2016halving
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil import parallel, registry
from evil.errors import UserError, at_least, unknown
from evil.learners import ppo
from evil.pytrees import pytree, select, take
from evil.rewards import combine, potential
from evil.seams import Algorithm, Environment, Key, Learner, Metrics, Policy, PyTree, Score
from evil.shaping import lives, strategies


@dataclasses.dataclass(frozen=True)
class Config:
    """Evolution of a shaping term."""

    learner: ppo.Config = ppo.Config()
    """Whose learning is to become fast."""
    potential: potential.Config = potential.Config()
    """The shaping term."""
    strategy: strategies.Config = strategies.Config()
    """How it evolves."""
    inner_iterations: int = 100
    """Iterations of a learner's life."""
    inner_seeds: int = 1
    """Learners per member, over which fitness is averaged."""
    fitness: lives.Fitness = "area_under_curve"
    """What a life is worth: the time-average of its learning curve, or where it ended."""
    under: Literal["real", "recovered"] = "real"
    """Whose returns the curve shows: those of the real reward, or of the recovered one."""
    scaled: bool = False
    """Whether the learner scales reward and term together, rather than the reward alone."""
    unroll: int = 0
    """Iterations of the learners' lives per generation; 0: all."""
    rungs: int = 1
    """Parts of a life after each of which the worse half of the members is dropped."""


@pytree
class State:
    """The evolution between generations."""

    strategy: PyTree
    learners: PyTree  # [P·S, ...] of unrolls, else ()
    age: Array  # [] int32, iterations that the learners have lived
    policy: PyTree  # of the first member's learner, when its last life was over
    generation: Array  # [] int32
    key: Key


def shared_keys(key: Key, population: int, seeds: int, *, antithetic: bool) -> Key:
    """Keys `[P·S]`, the same for both members of a pair, or for all members if there are none."""
    if antithetic:
        pairs = jax.random.split(key, (population // 2) * seeds)
        return jnp.concatenate([pairs, pairs])
    return jnp.tile(jax.random.split(key, seeds), population)


def ranked(rungs: Array, fitness: Array) -> Array:
    """Ranks `[P]` from 0, by the rung that a member reached and by fitness among equals."""
    order = jnp.lexsort((fitness, rungs))
    return jnp.zeros_like(fitness).at[order].set(jnp.arange(fitness.shape[0], dtype=fitness.dtype))


def make(config: Config, env: Environment, score: Score) -> Algorithm:
    """Bind the evolution to a reward; `data` has its parameters and how observations are scaled.

    `data = {"reward", "mean" [F], "std" [F], "start", "physics"}`: `start` is the network to begin
    with (of Φ = 0: `potential.make(...).init(key)`), `physics` the parameters of S environments
    `[S, ...]`, one per inner seed, or None for the environment's own.
    """
    _check(config)
    term = potential.make(config.potential, env)
    shaped = combine.shaped(score, term.score, scaled=config.scaled)
    learner: Learner = registry.make(config.learner, env, shaped)
    template = jax.eval_shape(term.init, jax.random.key(0))
    population, seeds = config.strategy.population, config.inner_seeds
    segment = config.unroll or config.inner_iterations
    strategy = strategies.make(
        config.strategy, template, horizon=-(-config.inner_iterations // segment)
    )

    def begin(key: Key, data: PyTree) -> PyTree:
        keys = shared_keys(key, population, seeds, antithetic=strategy.antithetic)
        physics = data["physics"]
        if physics is None:
            return jax.vmap(learner.init)(keys)
        everywhere = jax.tree.map(lambda x: jnp.tile(x, (population, *[1] * (x.ndim - 1))), physics)
        return jax.vmap(learner.init)(keys, everywhere)

    def one(
        num: int, state: PyTree, network: PyTree, tally: lives.Tally, data: PyTree
    ) -> tuple[PyTree, lives.Tally]:
        shaping = potential.parameters(network, data["mean"], data["std"], state.hyper.discount)
        params = {"reward": data["reward"], "shaping": shaping}
        return lives.live(learner, state, params, tally, num, config.under)

    def everyone(
        learners: PyTree, members: PyTree, tallies: lives.Tally, data: PyTree, num: int
    ) -> tuple[PyTree, lives.Tally]:
        """Lives `[n·S]` under members `[n, ...]`."""
        networks = jax.tree.map(lambda x: jnp.repeat(x, seeds, axis=0), members)
        lives_of = parallel.shared_vmap(functools.partial(one, num), (0, 0, 0, None), "members")
        return lives_of(learners, networks, tallies, data)

    def fitness_of(tallies: lives.Tally) -> Array:
        worth = jax.vmap(lambda tally: lives.worth(tally, config.fitness))(tallies)
        return worth.reshape(-1, seeds).mean(axis=1)

    def halving(learners: PyTree, members: PyTree, data: PyTree) -> tuple[PyTree, Array, Array]:
        """The best learners, everybody's fitness when last seen, and ranks `[P]`."""
        tallies = _tallies(population * seeds)
        alive = jnp.arange(population)
        reached, fitness = jnp.zeros(population), jnp.zeros(population)
        for rung, num in enumerate(_parts(config)):
            learners, tallies = everyone(learners, take(members, alive), tallies, data, num)
            found = fitness_of(tallies)
            fitness, reached = fitness.at[alive].set(found), reached.at[alive].set(float(rung))
            if rung + 1 < config.rungs:
                best = jnp.sort(jnp.argsort(found)[found.shape[0] // 2 :])
                rows = (best[:, None] * seeds + jnp.arange(seeds)[None]).reshape(-1)
                learners, tallies = take((learners, tallies), rows)
                alive = alive[best]
        return learners, fitness, ranked(reached, fitness)

    def init(key: Key, data: PyTree) -> State:
        key_strategy, key_learners, key = jax.random.split(key, 3)
        learners = begin(key_learners, data)
        first = jax.tree.map(lambda x: x[0], learners)
        return State(
            strategy=strategy.init(key_strategy, data["start"]),
            learners=learners if config.unroll else (),
            age=jnp.zeros((), jnp.int32),
            policy=learner.policy(first).params,
            generation=jnp.zeros((), jnp.int32),
            key=key,
        )

    def step(state: State, data: PyTree) -> tuple[State, Metrics]:
        key_ask, key_tell, key_learners, key = jax.random.split(state.key, 4)
        members, asked = strategy.ask(key_ask, state.strategy)
        learners = begin(key_learners, data)
        if config.unroll:
            learners = select(state.age > 0, state.learners, learners)
        if config.rungs > 1:
            learners, fitness, told = halving(learners, members, data)
        else:
            tallies = _tallies(population * seeds)
            learners, tallies = everyone(learners, members, tallies, data, segment)
            fitness = told = fitness_of(tallies)
        evolved = strategy.tell(key_tell, asked, members, told)
        first = jax.tree.map(lambda x: x[0], learners)
        age = state.age + segment
        over = age >= config.inner_iterations
        state = State(
            strategy=evolved,
            learners=learners if config.unroll else (),
            age=jnp.where(over, 0, age),
            policy=select(over, learner.policy(first).params, state.policy),
            generation=state.generation + 1,
            key=key,
        )
        norm = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(strategy.mean(evolved))))
        return state, {
            "evolution/fitness": fitness.mean(),
            "evolution/best_fitness": fitness.max(),
            "evolution/worst_fitness": fitness.min(),
            "evolution/mean_norm": norm,
        }

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        shape = jax.eval_shape(learner.init, jax.random.key(0))
        return dataclasses.replace(
            jax.eval_shape(lambda s: learner.policy(s, deterministic=deterministic), shape),
            params=state.policy,
        )

    return Algorithm(
        init=init,
        step=step,
        policy=policy,
        reward=lambda state: strategy.mean(state.strategy),
        steps_per_iteration=_iterations_lived(config) * seeds * learner.steps_per_iteration,
        parts=dataclasses.replace(
            learner.parts, members=population * seeds // 2 ** (config.rungs - 1)
        ),
    )


def _tallies(count: int) -> lives.Tally:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), lives.empty())


def _parts(config: Config) -> list[int]:
    """Iterations of each rung; they add up to a life."""
    whole, rest = divmod(config.inner_iterations, config.rungs)
    return [whole + (rung < rest) for rung in range(config.rungs)]


def _iterations_lived(config: Config) -> int:
    """By all members together, in one generation and with one inner seed."""
    population = config.strategy.population
    if config.unroll:
        return population * config.unroll
    return sum((population >> rung) * num for rung, num in enumerate(_parts(config)))


def _check(config: Config) -> None:
    """Refuse what cannot work, in one sentence each."""
    at_least(
        1,
        inner_iterations=config.inner_iterations,
        inner_seeds=config.inner_seeds,
        rungs=config.rungs,
    )
    at_least(0, unroll=config.unroll)
    if config.under not in lives.CURVES:
        raise unknown("curve", config.under, lives.CURVES)
    if config.fitness not in lives.FITNESS:
        raise unknown("fitness", config.fitness, lives.FITNESS)
    if config.strategy.population % 2 ** (config.rungs - 1):
        raise UserError(
            f"a population of {config.strategy.population} cannot be halved "
            f"{config.rungs - 1} times: expected a multiple of {2 ** (config.rungs - 1)}."
        )
    if config.unroll and config.rungs > 1:
        raise UserError("unrolls and halving exclude each other: set unroll to 0 or rungs to 1.")
    if config.unroll and config.inner_iterations % config.unroll:
        raise UserError(
            f"a life of {config.inner_iterations} iterations is no multiple of unrolls of "
            f"{config.unroll}."
        )
    if config.strategy.name in strategies.UNROLLED and not config.unroll:
        raise UserError(
            f"{config.strategy.name} is for lives that go on between generations: expected unroll "
            "above 0."
        )
