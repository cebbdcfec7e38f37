"""Training an expert on the real reward and collecting demonstrations from it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evil import environments, registry
from evil.config import to_dict
from evil.demonstrations import Demonstrations, catalogue, from_episodes
from evil.errors import UserError, at_least
from evil.evaluation import episodes
from evil.experiments.shared import artefacts, measure
from evil.learners import alone, choice, ppo
from evil.rewards import fixed
from evil.running import memory
from evil.running.directory import versions
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Environment, Key, Learner, Policy


@dataclasses.dataclass(frozen=True)
class Config:
    """An expert trained on the real reward."""

    env: str = "hopper"
    """Environment, e.g. hopper, walker2d, cartpole, or any Gymnax id."""
    backend: str | None = None
    """Physics backend of a Brax environment: positional (default), spring, generalized or mjx."""
    seed: int = 0
    """Seed of everything random."""
    num_seeds: int = 1
    """Candidates trained side by side; the best becomes the expert."""
    iterations: int = 600
    """Rollouts per candidate."""
    chunk: int = 10
    """Iterations between two updates of the display."""
    num_demos: int = 20
    """Episodes to ship."""
    evaluation_episodes: int = 100
    """Episodes behind the score card."""
    replace: bool = False
    """Whether an expert that is there already may be replaced."""
    deterministic: bool = False
    """Whether the expert plays the mode of its policy rather than samples."""
    learner: choice.AnyConfig = ppo.Config()
    """How it is trained."""


@dataclasses.dataclass(frozen=True)
class Expert:
    """What training an expert gives."""

    policy: Policy
    demonstrations: Demonstrations
    card: dict[str, Any]


def study(config: Config) -> Callable[[Session], Path]:
    """Check everything that training needs; what is returned trains and ships the expert."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        iterations=config.iterations,
        chunk=config.chunk,
        num_demos=config.num_demos,
        evaluation_episodes=config.evaluation_episodes,
    )
    env = environments.make(config.env, config.backend)
    folder = catalogue.directory(env.spec.name, env.spec.backend)
    if folder.exists() and not config.replace:
        raise UserError(f"{folder} has an expert already: replace it with --replace.")
    learner: Learner = registry.make(config.learner, env, fixed.real())
    return functools.partial(_carry_out, config, env, learner)


def _carry_out(config: Config, env: Environment, learner: Learner, session: Session) -> Path:
    """Train an expert and ship it; returns its folder."""
    assert session.directory is not None
    expert = train(config, env, learner, session)
    weights = artefacts.save_policy(
        session.directory.policy / "policy",
        expert.policy,
        config.learner.network,
        env.spec,
        actions=expert.card["actions"],
    )
    session.directory.write_summary(summarise(config, env, expert))
    return catalogue.write(env.spec, expert.demonstrations, [weights], expert.card)


def train(config: Config, env: Environment, learner: Learner, session: Session) -> Expert:
    """Train, keep the best candidate, and collect its episodes."""
    key_train, key_test, key_card, key_demos = jax.random.split(jax.random.key(config.seed), 4)
    outcome = run(
        Phase(
            name="expert",
            algorithm=alone.make(learner),
            data=(),
            keys=jax.random.split(key_train, config.num_seeds),
            iterations=config.iterations,
            chunk=config.chunk,
        ),
        session,
    )
    policies = {
        name: measure.stacked_policy(learner.policy, outcome.states, deterministic=mode)
        for name, mode in (("sampled", False), ("mode", True))
    }
    chosen = policies["mode" if config.deterministic else "sampled"]
    # Chosen on other episodes than those it is then judged by.
    trial = measure.returns(env, {"trial": chosen}, key_test, config.evaluation_episodes)["trial"]
    best = int(trial.mean(axis=1).argmax())
    singles = {
        name: jax.tree.map(lambda x: x[best : best + 1], policy)
        for name, policy in policies.items()
    }
    random_policy = episodes.random_policy(env)
    played = measure.returns(env, singles, key_card, config.evaluation_episodes)
    at_random = measure.mean_return(env, random_policy, key_card, config.evaluation_episodes)
    expert = measure.unstack(chosen, best)
    demos = collect(env, expert, key_demos, config.num_demos)
    card = _card(config, outcome, played, at_random, best)
    return Expert(policy=expert, demonstrations=demos, card=card)


def summarise(config: Config, env: Environment, expert: Expert) -> dict[str, Any]:
    """The card, by the contract of the run directory."""
    card = expert.card
    return card | {
        "env": env.spec.name,
        "backend": env.spec.backend,
        "algorithm": "expert",
        "seed": config.seed,
        "seeds": config.num_seeds,
        "expert_return": card["return_mean"],
        "random_return": card["random_return_mean"],
        "final_return": {"mean": card["return_mean"], "per_seed": [card["return_mean"]]},
        "peak_memory_mb": memory.peak_memory_mb(),
    }


def collect(env: Environment, policy: Policy, key: Key, num_episodes: int) -> Demonstrations:
    """Full episodes of a policy as demonstrations."""
    played = jax.device_get(jax.jit(lambda key: episodes.play(env, policy, key, num_episodes))(key))
    lengths = played.length
    return from_episodes(
        [
            {
                "obs": played.obs[index, : lengths[index] + 1],
                "action": played.action[index, : lengths[index]],
                "reward": played.reward[index, : lengths[index]],
                "terminated": played.terminated[index],
            }
            for index in range(num_episodes)
        ]
    )


def _card(
    config: Config,
    outcome: Outcome,
    played: dict[str, np.ndarray],
    at_random: float,
    best: int,
) -> dict[str, Any]:
    shown = played["mode" if config.deterministic else "sampled"]
    return {
        "return_mean": float(shown.mean()),
        "return_std": float(shown.std()),
        "return_mean_of_mode": float(played["mode"].mean()),
        "return_mean_of_samples": float(played["sampled"].mean()),
        "random_return_mean": at_random,
        "episodes": config.evaluation_episodes,
        "actions": "mode" if config.deterministic else "sampled",
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "compile_s": outcome.compile_s,
        "env_steps_per_s": outcome.env_steps_per_s,
        "candidate": best,
        "candidates": config.num_seeds,
        "versions": versions(),
        "config": to_dict(config),
    }
