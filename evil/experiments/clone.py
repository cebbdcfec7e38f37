"""Behavioural cloning as a study of its own: the baseline that needs neither world nor reward.

The environment is used only at the end, to measure what the clones are worth.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from evil.demonstrations import actions_for
from evil.errors import at_least
from evil.experiments.shared import artefacts, measure
from evil.experiments.shared.problem import Problem, random_return, read_problem
from evil.imitation import bc
from evil.running import memory, parts
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm, Policy


@dataclasses.dataclass(frozen=True)
class Config:
    """Cloning the policy behind demonstrations."""

    env: str = "hopper"
    """Environment: hopper, walker2d, halfcheetah, ant, humanoid, cartpole, pendulum, reacher,
    gridworld, or any Gymnax id."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto: paper on an accelerator, else quick."""
    backend: str | None = None
    """Physics backend of a Brax environment: positional (default), spring, generalized or mjx."""
    seed: int = 1
    """Seed of everything random; seed k+1 is not one of the lanes of seed k."""
    num_seeds: int = 1
    """Independent runs side by side in one compiled program."""
    demos: str | None = None
    """File of demonstrations; default: those shipped for the environment."""
    num_demos: int | None = None
    """How many episodes to use; default: all."""
    subsample: int = 1
    """Use every k-th step of each episode, and besides the one in which it terminated."""
    iterations: int = 60
    """Validations at most; training may stop earlier."""
    chunk: int = 5
    """Iterations between two updates of the display."""
    evaluation_episodes: int = 100
    """Full episodes behind each reported return."""
    deterministic: bool = True
    """Whether evaluated policies play their mode rather than sample."""
    bc: bc.Config = bc.Config()
    """Network, loss and optimiser."""

    @property
    def plays_the_mode(self) -> bool:
        """Squared errors teach no deviation, so such a clone has nothing to sample with."""
        return self.deterministic or self.bc.loss == "mse"


def study(config: Config) -> Callable[[Session], dict[str, Any]]:
    """Read and check everything that the study needs; what is returned then carries it out."""
    at_least(
        1,
        num_seeds=config.num_seeds,
        iterations=config.iterations,
        chunk=config.chunk,
        evaluation_episodes=config.evaluation_episodes,
    )
    problem = read_problem(config)
    actions_for(problem.demos, "cloning")
    return functools.partial(_carry_out, config, problem, bc.make(config.bc, problem.env))


def _carry_out(
    config: Config, problem: Problem, cloning: Algorithm, session: Session
) -> dict[str, Any]:
    """Clone, measure, and fill the run directory; returns the summary."""
    key_measure, key_clone = jax.random.split(jax.random.key(config.seed))
    phase = Phase(
        name="bc",
        algorithm=cloning,
        data=problem.demos,
        keys=jax.random.split(key_clone, config.num_seeds),
        iterations=config.iterations,
        chunk=config.chunk,
    )
    outcome = run(phase, session, parts.all_at_once(phase))
    policy = measure.stacked_policy(
        cloning.policy, outcome.states, deterministic=config.plays_the_mode
    )
    session.progress.note(f"playing {config.evaluation_episodes} full episodes")
    played = measure.returns(problem.env, {"bc": policy}, key_measure, config.evaluation_episodes)
    at_random = random_return(problem, key_measure, config.evaluation_episodes)
    summary = summarise(config, problem, outcome, measure.summarise(played["bc"]), at_random)
    if session.directory is not None:
        write(session.directory, config, problem, policy)
        session.directory.write_summary(summary)
    return summary


def summarise(
    config: Config,
    problem: Problem,
    outcome: Outcome,
    final_return: dict[str, Any],
    at_random: float,
) -> dict[str, Any]:
    """What a run has to say for itself, by the contract of the run directory."""
    return {
        "env": problem.env.spec.name,
        "backend": problem.env.spec.backend,
        "algorithm": "bc",
        "loss": config.bc.loss,
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "expert_return": problem.expert_return,
        "random_return": at_random,
        "demonstrations": int(problem.demos.length.shape[0]),
        "demonstrated_steps": int(problem.demos.count),
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "compile_s": outcome.compile_s,
        "env_steps_per_s": outcome.env_steps_per_s,
        "peak_memory_mb": memory.peak_memory_mb(),
        "final_return": final_return,
        "actions": "mode" if config.plays_the_mode else "sampled",
        "iterations": outcome.iterations,
        "last_metrics": {name: list(map(float, x)) for name, x in outcome.last_metrics.items()},
        "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
    }


def write(directory: RunDirectory, config: Config, problem: Problem, policy: Policy) -> None:
    """The policy of every seed; one that must not sample says so in its file."""
    actions = "mode" if config.plays_the_mode else "sampled"
    for lane in range(config.num_seeds):
        artefacts.save_policy(
            directory.policy / f"bc-{lane}",
            measure.unstack(policy, lane),
            config.bc.network,
            problem.env.spec,
            actions=actions,
        )
