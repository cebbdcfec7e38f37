"""What the main study has found: its summary, the files it leaves, and the data of its figures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from evil import registry
from evil.demonstrations import Demonstrations, sample
from evil.evaluation import statistics
from evil.experiments.shared import artefacts, measure
from evil.experiments.shared.problem import Problem, random_return
from evil.learners import replay
from evil.rewards import combine
from evil.running import memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome
from evil.seams import Key, Policy, PyTree, RewardModel, Score

if TYPE_CHECKING:
    from evil.experiments import recover


def summarise(
    config: recover.Config,
    problem: Problem,
    outcomes: dict[str, Outcome],
    played: dict[str, measure.Judged],
    key: Key,
) -> dict[str, Any]:
    """What a run has to say for itself, by the contract of the run directory."""
    game = outcomes["irl"]
    named = {f"{name}_return": measure.summarise(one.true) for name, one in played.items()}
    return {
        "env": problem.env.spec.name,
        "backend": problem.env.spec.backend,
        "algorithm": config.method or ("irl_plus" if config.irl_plus else "irl"),
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "expert_return": problem.expert_return,
        "random_return": random_return(problem, key, config.evaluation_episodes),
        "demonstrations": int(problem.demos.length.shape[0]),
        "env_steps": game.env_steps,
        "wall_s": sum(outcome.wall_s for outcome in outcomes.values()),
        "compile_s": sum(outcome.compile_s for outcome in outcomes.values()),
        "env_steps_per_s": game.env_steps_per_s,
        "peak_memory_mb": memory.peak_memory_mb(),
        "final_return": named.pop("irl_return"),
        **named,
        "phases": {
            name: {
                "wall_s": outcome.wall_s,
                "compile_s": outcome.compile_s,
                "env_steps_per_s": outcome.env_steps_per_s,
                "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
            }
            for name, outcome in outcomes.items()
        },
    }


def write(
    directory: RunDirectory,
    config: recover.Config,
    problem: Problem,
    outcomes: dict[str, Outcome],
    policies: dict[str, Policy],
    reward_params: PyTree,
) -> dict[str, Any]:
    """Policies and rewards of every seed, and the landmark data; returns what they show."""
    spec, network = problem.env.spec, config.algorithm.learner.network
    for name, policy in policies.items():
        kind = config.bc.network if name == "bc" else network
        actions = "mode" if name == "bc" or config.deterministic else "sampled"
        for lane in range(jax.tree.leaves(policy.params)[0].shape[0]):
            single = measure.unstack(policy, lane)
            path = directory.policy / f"{name}-{lane}"
            artefacts.save_policy(path, single, kind, spec, actions=actions)
    for lane in range(config.num_seeds):
        single = jax.tree.map(lambda x, lane=lane: x[lane], reward_params)
        artefacts.save_reward(
            directory.reward / f"reward-{lane}", single, config.algorithm.reward, spec
        )
    if spec.landmark is None or not len(problem.demos.length):
        return {}
    arrays = landmark(config, problem, outcomes["irl"].states, reward_params)
    np.savez_compressed(directory.path / "landmark.npz", **arrays)
    correlation = statistics.correlation(arrays["expert_x"], arrays["expert_reward"])
    together = statistics.correlation(
        np.concatenate([arrays["expert_x"], arrays["agent_x"]]),
        np.concatenate([arrays["expert_reward"], arrays["agent_reward"]]),
    )
    return {"landmark_correlation": {"expert": correlation, "together": together}}


def landmark(
    config: recover.Config, problem: Problem, states: PyTree, reward_params: PyTree, num: int = 4096
) -> dict[str, Any]:
    """The recovered reward beside the observation that the task is about, for the first seed.

    Of the expert's steps and of those in the agent's history: of all its policies in IRL++, of
    the last one in plain IRL.
    """
    spec, demos = problem.env.spec, problem.demos
    assert spec.landmark is not None
    index, label = spec.landmark
    model: RewardModel = registry.make(config.algorithm.reward, problem.env)
    first = jax.tree.map(lambda x: x[0], (states.history, reward_params))
    ring, params = first
    key_expert, key_agent = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1))
    arrays: dict[str, Any] = {"label": np.array(label)}
    for who, steps in (
        ("expert", sample(key_expert, demos, num)),
        ("agent", replay.sample(key_agent, ring, num)),
    ):
        alone = jax.tree.map(lambda x: x[None], steps)  # each the first of an episode of its own
        rewards, _ = model.score.apply(params, model.score.memory(num), alone)
        arrays[f"{who}_x"] = np.asarray(steps.obs[:, index])
        arrays[f"{who}_reward"] = np.asarray(rewards[0])
    return arrays


def expert_under(score: Score, demos: Demonstrations, reward_params: PyTree) -> np.ndarray:
    """Returns `[S, E]` of the demonstrated episodes under each recovered reward."""

    def judge(params: PyTree) -> jax.Array:
        return combine.along(score, params, demos).sum(axis=1)

    return np.asarray(jax.jit(jax.vmap(judge))(reward_params))
