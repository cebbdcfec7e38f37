"""Trials of a search side by side: what each point is worth on an environment.

Points that differ in traced fields alone are lanes of one compiled program. Along the way the
policies play full episodes at regular intervals; a point is worth the mean of those returns, on a
scale on which random actions are 0 and the expert is 1: the area under its learning curve.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.config import from_dict, override, to_dict
from evil.errors import UserError
from evil.evaluation import episodes
from evil.experiments import clone, recover
from evil.experiments.settings import algorithms
from evil.experiments.shared.problem import Problem, read_problem
from evil.imitation import bc
from evil.learners import mixing
from evil.pytrees import pytree
from evil.running import parts
from evil.running.phase import Phase
from evil.running.session import Session
from evil.running.sweep import Point, locate, spread
from evil.seams import Algorithm, Key, Metrics, Policy, PyTree

AREA = "search/area"


@pytree
class State:
    """An algorithm, and how good it was along the way."""

    inner: PyTree
    area: Array  # []
    key: Key


@dataclasses.dataclass(frozen=True)
class Scale:
    """Returns of random actions and of the expert, and how often and long they are measured."""

    random: float
    expert: float
    evaluations: int
    episodes: int


def judged(algorithm: Algorithm, problem: Problem, scale: Scale, iterations: int) -> Algorithm:
    """The algorithm by stretches of so many iterations, each with an evaluation at its end."""

    def init(key: Key, data: PyTree) -> State:
        key_inner, key = jax.random.split(key)
        return State(inner=algorithm.init(key_inner, data), area=jnp.zeros(()), key=key)

    def step(state: State, data: PyTree) -> tuple[State, Metrics]:
        key_play, key = jax.random.split(state.key)
        inner, metrics = jax.lax.scan(
            lambda inner, _: algorithm.step(inner, data), state.inner, None, iterations
        )
        policy = algorithm.policy(inner, deterministic=True)
        found, _ = episodes.returns(problem.env, policy, key_play, scale.episodes)
        share = (found.mean() - scale.random) / (scale.expert - scale.random)
        area = state.area + share / scale.evaluations
        last = jax.tree.map(lambda x: x[-1], metrics)
        state = State(inner=inner, area=area, key=key)
        return state, last | {"search/share": share, AREA: area}

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        return algorithm.policy(state.inner, deterministic=deterministic)

    return dataclasses.replace(
        algorithm,
        init=init,
        step=step,
        policy=policy,
        reward=lambda state: algorithm.reward(state.inner),
        steps_per_iteration=iterations * algorithm.steps_per_iteration,
    )


def at(base: algorithms.Study, point: Point) -> algorithms.Study:
    """The config at a point, by way of plain data, where types are checked."""
    config: Any = override(base, point)
    if isinstance(config, recover.Config) and hasattr(config.algorithm.learner, "round_length"):
        learner: Any = config.algorithm.learner
        rounds = mixing.nearest(learner.round_length, learner.num_envs * learner.num_steps)
        config = override(config, {"algorithm.learner.round_length": rounds})
        if config.method == "adril" and not rounds:  # labels alone: see `tuned`
            config = override(config, {"algorithm.reward.kind": "sqil"})
    return from_dict(to_dict(config))


def groups(base: algorithms.Study, points: list[Point]) -> list[tuple[Point, list[int]]]:
    """Points by what they have in common in fields that are part of a program: that, and which."""
    found: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        static = {path: x for path, x in point.items() if locate(base, path).hyper is None}
        found.setdefault(json.dumps(static, sort_keys=True), []).append(index)
    return [(json.loads(static), members) for static, members in found.items()]


def areas(
    name: str,
    base: algorithms.Study,
    points: list[Point],
    scale: Scale,
    session: Session,
) -> np.ndarray:
    """What each point is worth on the environment of `base`: `[points, seeds]`.

    What a lane had not reached when it broke counts as nothing, as random actions do.
    """
    worth = np.zeros((len(points), base.num_seeds))
    for number, (static, members) in enumerate(groups(base, points)):
        own = [points[index] for index in members]
        config = at(base, static)
        phase = stretch(f"{name}-{number}", config, scale)
        traced = [field for field in (locate(base, path) for path in own[0]) if field.hyper]
        phase = spread(phase, traced, own) if traced else repeated(phase, len(own))
        _, outcome = parts.run(phase, session)
        found = np.nan_to_num(np.asarray(outcome.last_metrics[AREA], np.float64), nan=0.0)
        worth[members] = found.reshape(len(own), base.num_seeds)
    return worth


def repeated(phase: Phase, count: int) -> Phase:
    """A phase with all its lanes so many times, for points that are one and the same."""
    return dataclasses.replace(phase, keys=jnp.tile(phase.keys, count), groups=())


def stretch(name: str, config: algorithms.Study, scale: Scale) -> Phase:
    """The phase in which a config is judged, one lane per seed."""
    if isinstance(config, clone.Config):
        problem = read_problem(config)
        algorithm = bc.make(config.bc, problem.env)
        scale = dataclasses.replace(scale, evaluations=1)  # of cloning only the end counts
    else:
        study = recover.study(config)
        problem, algorithm = study.problem, study.game
    iterations = config.iterations // scale.evaluations
    if not iterations:
        raise UserError(
            f"{scale.evaluations} evaluations in {config.iterations} iterations: expected at most "
            "as many."
        )
    return Phase(
        name=name,
        algorithm=judged(algorithm, problem, scale, iterations),
        data=problem.demos,
        keys=jax.random.split(jax.random.key(config.seed), config.num_seeds),
        iterations=scale.evaluations,
        chunk=1,
    )
