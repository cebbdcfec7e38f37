"""Imitation algorithms side by side on environments: every cell a run, and one table of them all.

A cell is an algorithm on an environment. Its run lies at `<out>/<env>/<algorithm>/` and is one of
run_il.py, so a league that was stopped goes on where it was, and a cell that is added later costs
only itself. All cells have the same demonstrations, seeds and environment steps per seed. Two more
say what returns are worth: random actions, and a learner that is paid one per step.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from evil import environments
from evil.config import from_dict, override
from evil.demonstrations import catalogue
from evil.errors import UserError, at_least, unknown
from evil.evaluation.statistics import bootstrap_interval
from evil.experiments import clone, recover
from evil.experiments.series import cells
from evil.experiments.settings import algorithms, presets, tuned
from evil.learners import minibatches, ppo
from evil.running import files
from evil.running.directory import RunDirectory, versions

TABLE = "table.json"
SURVIVAL = "survival"
RANDOM = "random"
ROLLOUTS = 100  # of an on-policy learner in a budget, at least
ROWS = 64  # of a minibatch, at least, where its rollouts were cut


@dataclasses.dataclass(frozen=True)
class Config:
    """A league of imitation algorithms."""

    algorithms: tuple[str, ...] = ()
    """Algorithms by name, as for run_il.py; default: all."""
    envs: tuple[str, ...] = ("hopper", "pendulum")
    """Environments."""
    env_steps: tuple[int, ...] = (256_000,)
    """Environment steps of each seed, to the nearest rollout: one number, or one for each
    environment; none: as many as the preset has for each algorithm."""
    num_demos: int = 10
    """Demonstrated episodes."""
    num_seeds: int = 3
    """Policies trained by each algorithm."""
    seed: int = 1
    """Seed of everything random."""
    preset: str = "auto"
    """Sizes of everything, as for run_il.py."""
    learner: str | None = None
    """Learner of all algorithms that go with it, ppo or sac; default: each its own."""
    tuned: bool = False
    """Whether with the values that were found by search, where there are any."""
    survival: bool = True
    """Whether to train on survival, too."""
    out: str = "runs/league"
    """Folder of the league; runs that it holds already are not repeated."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """An algorithm on an environment."""

    env: str
    algorithm: str
    path: Path
    config: algorithms.Study


def cells_of(config: Config) -> list[Cell]:
    """All cells, environment by environment; UserError for what cannot be."""
    at_least(1, num_seeds=config.num_seeds, num_demos=config.num_demos)
    if config.learner is not None and config.learner not in presets.LEARNERS:
        raise unknown("learner", config.learner, presets.LEARNERS)
    for name in config.algorithms:
        if name not in algorithms.NAMES:
            raise unknown("algorithm", name, algorithms.NAMES)
    if not config.envs:
        raise UserError("no environment is named: expected --envs NAME ...")
    if len(config.env_steps) not in (0, 1, len(config.envs)):
        raise UserError(
            f"env_steps has {len(config.env_steps)} numbers for {len(config.envs)} environments: "
            "expected one, or one for each."
        )
    at_least(1, **{"env_steps": min(config.env_steps, default=1)})
    names = [*(config.algorithms or sorted(algorithms.NAMES)), *[SURVIVAL] * config.survival]
    out, found = Path(config.out).expanduser().absolute(), []
    for index, env in enumerate(config.envs):
        steps = config.env_steps[index % len(config.env_steps)] if config.env_steps else None
        canonical = environments.canonical(env)
        found += [
            Cell(canonical, name, out / canonical / name, config_of(config, env, name, steps))
            for name in dict.fromkeys(names)
        ]
    return found


def config_of(config: Config, env: str, name: str, env_steps: int | None) -> algorithms.Study:
    """The run of a cell."""
    played = (config.learner or "sac") if name == SURVIVAL else name
    learner = config.learner
    if learner is not None and not algorithms.goes_with(played, learner):
        learner = None

    def sized(iterations: int | None) -> algorithms.Study:
        return algorithms.imitation(
            played,
            env,
            presets.resolve(config.preset),
            num_demos=config.num_demos,
            iterations=iterations,
            learner=learner,
            is_tuned=config.tuned and tuned.has(name),
        )

    usual = sized(None)
    if env_steps is not None and isinstance(usual, recover.Config):
        cut = shorter_rollouts(usual, env_steps)
        usual = override(sized(max(1, round(env_steps / rollout_size(override(usual, cut))))), cut)
    changes: dict[str, Any] = {"seed": config.seed, "num_seeds": config.num_seeds}
    if name == SURVIVAL:
        changes |= {"method": SURVIVAL, "algorithm.reward.kind": "survival"}
    return override(usual, changes)


def rollout_size(config: recover.Config) -> int:
    """Environment steps in an iteration."""
    learner = config.algorithm.learner
    return learner.num_envs * learner.num_steps * config.algorithm.population


def shorter_rollouts(config: recover.Config, env_steps: int) -> dict[str, int]:
    """Fields of an on-policy learner with which so many steps hold `ROLLOUTS` rollouts.

    Its worlds are halved as often as that takes; minibatches become smaller, to `ROWS` at least.
    """
    learner = config.algorithm.learner
    if not isinstance(learner, ppo.Config):
        return {}
    worlds, batches = learner.num_envs, learner.num_minibatches
    while worlds % 2 == 0 and env_steps < ROLLOUTS * worlds * learner.num_steps:
        worlds //= 2
    while batches % 2 == 0 and worlds * learner.num_steps < ROWS * batches:
        batches //= 2
    return {
        "algorithm.learner.num_envs": worlds,
        "algorithm.learner.num_minibatches": batches,
    }


def learner_of(config: algorithms.Study) -> str:
    """By whom it is played; nobody, where there is only cloning."""
    if isinstance(config, clone.Config):
        return ""
    return "ppo" if isinstance(config.algorithm.learner, ppo.Config) else "sac"


def updates(config: algorithms.Study, iterations: int) -> int:
    """Gradient steps of the policy in so many iterations."""
    if isinstance(config, clone.Config):
        return iterations * config.bc.updates_per_iteration
    learner = config.algorithm.learner
    if isinstance(learner, ppo.Config):
        return iterations * learner.num_epochs * learner.num_minibatches
    size = learner.num_envs * learner.num_steps
    return iterations * minibatches.updates_per_rollout(size, learner.update_ratio)


def carry_out(config: Config) -> Path:
    """Run what is missing and write the table; returns its path."""
    planned = cells_of(config)
    for cell in planned:
        cells.check(cell.path, cell.config)
    for env in dict.fromkeys(config.envs):
        catalogue.card(environments.make(env).spec)  # what all are compared with
    missing = [cell for cell in planned if not cells.is_finished(cell.path)]
    # Everything is read and checked before anything runs.
    studies = [algorithms.study(cell.config) for cell in missing]
    for cell, study in zip(missing, studies, strict=True):
        cells.carry_out(f"{cell.env}: {cell.algorithm}", cell.path, cell.config, study)
    return write(config, planned)


def write(config: Config, planned: list[Cell]) -> Path:
    """The table of runs that have been carried out."""
    rows = [line(cell) for cell in planned]
    for env in dict.fromkeys(row["env"] for row in rows):
        first = next(row for row in rows if row["env"] == env)
        rows.append(at_random(first))
    path = Path(config.out).expanduser().absolute() / TABLE
    files.write_json(
        path, {"config": dataclasses.asdict(config), "versions": versions(), "rows": rows}
    )
    return path


def line(cell: Cell) -> dict[str, Any]:
    """What one run says, for the table."""
    directory = RunDirectory.open(cell.path)
    summary, config = directory.read_summary(), from_dict(directory.read_config())
    expert, random = summary["expert_return"], summary["random_return"]
    returns = summary["final_return"]["per_seed"]
    percent = [of_expert(value, expert, random) for value in returns]
    low, high = bootstrap_interval(percent)
    iterations = summary.get("iterations") or summary["env_steps"] // rollout_size(config)
    return {
        "env": cell.env,
        "algorithm": cell.algorithm,
        "learner": learner_of(config),
        "expert": expert,
        "random": random,
        "returns": returns,
        "percent": percent,
        "mean": sum(percent) / len(percent),
        "interval": [low, high],
        "env_steps": summary["env_steps"],
        "updates": updates(config, iterations),
        "wall_s": summary["wall_s"],
        "compile_s": summary["compile_s"],
        "frozen": frozen(summary),
    }


def frozen(summary: dict[str, Any]) -> int:
    """Seeds that broke and are judged by their last good state."""
    phases = summary.get("phases", {"": summary})
    return sum(len(phase["frozen"]) for phase in phases.values())


def at_random(row: dict[str, Any]) -> dict[str, Any]:
    """The row of random actions, for the environment of another row."""
    percent = of_expert(row["random"], row["expert"], row["random"])
    blank = {"env_steps": 0, "updates": 0, "wall_s": 0.0, "compile_s": 0.0, "frozen": 0}
    same = {name: row[name] for name in ("env", "expert", "random")}
    return {
        **same,
        **blank,
        "algorithm": RANDOM,
        "learner": "",
        "returns": [row["random"]],
        "percent": [percent],
        "mean": percent,
        "interval": None,
    }


def of_expert(value: float, expert: float, random: float) -> float:
    """A return in per cent of the expert's.

    Where returns are negative it is the share of the way from random actions to the expert.
    """
    zero = random if min(expert, random) < 0.0 else 0.0
    return 100.0 * (value - zero) / (expert - zero)
