"""Rewards recovered in finite worlds: maximum entropy, causal entropy, relative entropy.

Every number that is reported is a sum over states, not a sample; only demonstrations are random.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from evil import environments, registry
from evil.errors import at_least
from evil.experiments.shared import artefacts, maps
from evil.experiments.shared.problem import Problem, read_problem
from evil.running import memory
from evil.running.directory import RunDirectory
from evil.running.runner import Outcome, Phase, Session, run
from evil.seams import Algorithm
from evil.tabular import fitting, maxent, mce, occupancy, relent, trajectories, worlds
from evil.tabular.fitting import Task
from evil.tabular.worlds import World

ITERATIONS = {"smoke": 2, "quick": 30, "paper": 100}
METHODS = {"maxent": maxent.Config(), "mce": mce.Config(), "relent": relent.Config()}


@dataclasses.dataclass(frozen=True)
class Config:
    """Recovering a reward in a finite world."""

    env: str = "gridworld50"
    """Finite world: gridworld50 or gridworld."""
    method: str = "mce"
    """Method: maxent, mce or relent."""
    preset: str = "auto"
    """Sizes of everything: smoke, quick, paper, or auto: paper on an accelerator, else quick."""
    seed: int = 1
    """Seed of everything random."""
    num_seeds: int = 1
    """Rewards fitted side by side in one compiled program."""
    demos: str | None = None
    """File of demonstrations; default: those shipped for the environment."""
    num_demos: int | None = None
    """How many episodes to use; default: all."""
    iterations: int = 20
    """Iterations, each of several steps of descent."""
    chunk: int = 2
    """Iterations between two updates of the display."""
    algorithm: (
        Annotated[mce.Config, tyro.conf.subcommand("mce")]
        | Annotated[maxent.Config, tyro.conf.subcommand("maxent")]
        | Annotated[relent.Config, tyro.conf.subcommand("relent")]
    ) = mce.Config()
    """The method and how it fits."""

    @property
    def backend(self) -> None:
        """No finite world has one."""
        return None

    @property
    def subsample(self) -> int:
        """Every step is used: a path needs them all."""
        return 1


def study(config: Config) -> Callable[[Session], dict[str, Any]]:
    """Read and check everything that the study needs; what is returned then carries it out."""
    at_least(1, num_seeds=config.num_seeds, iterations=config.iterations, chunk=config.chunk)
    world = worlds.make(environments.canonical(config.env))
    problem = read_problem(config)
    demos = trajectories.read(problem.demos, world.state_of, world.mdp, world.horizon)
    task = Task(mdp=world.mdp, demos=demos)
    algorithm: Algorithm = registry.make(config.algorithm, world)
    return functools.partial(_carry_out, config, world, problem, task, algorithm)


def _carry_out(
    config: Config,
    world: World,
    problem: Problem,
    task: Task,
    algorithm: Algorithm,
    session: Session,
) -> dict[str, Any]:
    """Fit, judge, and fill the run directory; returns the summary."""
    phase = Phase(
        name=config.method,
        algorithm=algorithm,
        data=task,
        keys=jax.random.split(jax.random.key(config.seed), config.num_seeds),
        iterations=config.iterations,
        chunk=config.chunk,
    )
    outcome = run(phase, session)
    states: fitting.State = jax.device_get(outcome.states)
    tables = jax.jit(jax.vmap(algorithm.reward))(states)
    policies = [
        jax.jit(algorithm.policy)(jax.tree.map(lambda x, lane=lane: x[lane], states))
        for lane in range(config.num_seeds)
    ]
    judge = jax.jit(lambda policy: occupancy.prospects(world.mdp, policy, world.horizon))
    modes = [
        judge(jax.nn.one_hot(jnp.argmax(policy.params["table"], -1), world.mdp.num_actions))
        for policy in policies
    ]
    found = [judge(policy.params["table"]) for policy in policies]
    summary = summarise(config, world, problem, task, outcome, found, modes)
    if session.directory is not None:
        write(session.directory, config, world, np.asarray(tables), policies)
        drawn = maps.survey(world, task, tables[0], policies[0].params["table"])
        if drawn:
            np.savez_compressed(session.directory.path / maps.FILE, **drawn)  # pyright: ignore[reportArgumentType]
        session.directory.write_summary(summary)
    return summary


def summarise(
    config: Config,
    world: World,
    problem: Problem,
    task: Task,
    outcome: Outcome,
    found: list[occupancy.Prospects],
    modes: list[occupancy.Prospects],
) -> dict[str, Any]:
    """What a run has to say for itself, by the contract of the run directory."""
    visits = trajectories.visits(task.demos, world.mdp)
    at_random = occupancy.prospects(world.mdp, occupancy.uniform(world.mdp), world.horizon)
    demonstrated = float(jnp.sum(visits * world.mdp.reward))
    return {
        "env": world.spec.name,
        "backend": "",
        "algorithm": config.method,
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "exact": True,
        "expert_return": demonstrated if problem.expert_return is None else problem.expert_return,
        "random_return": float(at_random.value),
        "demonstrated_return": demonstrated,
        "demonstrations": int(task.demos.count),
        "demonstrated_steps": int(task.demos.length.sum()),
        "env_steps": outcome.env_steps,
        "wall_s": outcome.wall_s,
        "compile_s": outcome.compile_s,
        "env_steps_per_s": outcome.env_steps_per_s,
        "peak_memory_mb": memory.peak_memory_mb(),
        "final_return": _over_seeds([one.value for one in found]),
        "mode_return": _over_seeds([one.value for one in modes]),
        "success_rate": _over_seeds([one.arrival for one in found]),
        "mean_length": _over_seeds([one.length for one in found]),
        "pearson_distance": _over_seeds(outcome.last_metrics["reward/pearson_distance"]),
        "epic_distance": _over_seeds(outcome.last_metrics["reward/epic_distance"]),
        "iterations": outcome.iterations,
        "last_metrics": {name: list(map(float, x)) for name, x in outcome.last_metrics.items()},
        "frozen": [dataclasses.asdict(lane) for lane in outcome.frozen],
    }


def write(
    directory: RunDirectory, config: Config, world: World, tables: np.ndarray, policies: list[Any]
) -> None:
    """The recovered table and the policy of every seed."""
    for lane, policy in enumerate(policies):
        artefacts.save_table(
            directory.reward / f"reward-{lane}", {"table": tables[lane]}, "reward_table", world.spec
        )
        artefacts.save_table(
            directory.policy / f"{config.method}-{lane}", policy.params, "policy_table", world.spec
        )


def _over_seeds(values: Any) -> dict[str, Any]:
    each = [float(x) for x in values]
    return {"mean": float(np.mean(each)), "per_seed": each}
