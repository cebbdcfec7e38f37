"""What there is to imitate, and in which world: where every study of imitation begins."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from evil import environments
from evil.demonstrations import Demonstrations, catalogue, choose, load, nothing, returns
from evil.evaluation import episodes
from evil.experiments.shared import measure
from evil.seams import Environment, Key


class Named(Protocol):
    """The fields by which a study's config names a problem."""

    @property
    def env(self) -> str: ...
    @property
    def backend(self) -> str | None: ...
    @property
    def demos(self) -> str | None: ...
    @property
    def num_demos(self) -> int | None: ...
    @property
    def subsample(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Problem:
    """An environment, demonstrations in it, and the returns between which results will lie."""

    env: Environment
    demos: Demonstrations
    expert_return: float | None  # None where the demonstrations bring no rewards
    random_return: float | None  # None where no score card says


def read_problem(config: Named, *, imitates: bool = True) -> Problem:
    """The environment and the demonstrations that a config names.

    Without an expert there is nothing to imitate, but what does not imitate can do without.
    """
    env = environments.make(config.env, config.backend)
    if not imitates and config.demos is None and not catalogue.has(env.spec):
        return Problem(env=env, demos=nothing(env.spec), expert_return=None, random_return=None)
    if config.demos is None:
        demos, card = catalogue.demonstrations(env.spec)
        expert_return, random_return = card["return_mean"], card["random_return_mean"]
    else:
        demos, _ = load(config.demos, env.spec)
        has_rewards = bool((demos.reward != 0.0).any())
        expert_return = float(returns(demos).mean()) if has_rewards else None
        random_return = None
    demos = choose(demos, config.num_demos, config.subsample)
    return Problem(env=env, demos=demos, expert_return=expert_return, random_return=random_return)


def random_return(problem: Problem, key: Key, num_episodes: int) -> float:
    """The return of random actions: from the score card, or measured where there is none."""
    if problem.random_return is not None:
        return problem.random_return
    policy = episodes.random_policy(problem.env)
    return measure.mean_return(problem.env, policy, key, num_episodes)
