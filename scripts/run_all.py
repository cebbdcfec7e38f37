"""Run one imitation algorithm on a list of environments: one table and one figure.

    python scripts/run_all.py --algorithm dac --envs hopper halfcheetah pendulum

Every environment is a run of its own under --out, as run_il.py makes it: a list that was stopped
goes on where it was when the same command is given again.
"""

from __future__ import annotations

import dataclasses

import tyro

from evil.experiments.series import league
from evil.experiments.settings import algorithms
from evil.running import command
from scripts import benchmark_il


@dataclasses.dataclass(frozen=True)
class Config:
    """One algorithm on several environments."""

    algorithm: str = "dac"
    """Algorithm by name, as for run_il.py."""
    envs: tuple[str, ...] = ("hopper", "halfcheetah", "walker2d", "pendulum")
    """Environments."""
    env_steps: tuple[int, ...] = ()
    """Environment steps of each seed: one number, or one for each environment; default: those of
    the preset."""
    num_demos: int = 10
    """Demonstrated episodes."""
    num_seeds: int = 3
    """Policies trained on each environment."""
    seed: int = 1
    """Seed of everything random."""
    preset: str = "auto"
    """Sizes of everything, as for run_il.py."""
    learner: str | None = None
    """Learner, ppo or sac; default: the algorithm's own."""
    tuned: bool = False
    """Whether with the values that were found by search for so many demonstrations."""
    survival: bool = False
    """Whether to train on survival, too, for comparison."""
    out: str | None = None
    """Folder of the runs, which are not repeated; default: runs/all-<algorithm>."""


def main() -> None:
    asked = tyro.cli(Config, description=__doc__)
    fields = {
        field.name: getattr(asked, field.name)
        for field in dataclasses.fields(asked)
        if field.name not in ("algorithm", "out")
    }
    if asked.learner is not None:
        algorithms.played_by(asked.algorithm, asked.learner)  # refused, where a league would pass
    out = asked.out or f"runs/all-{asked.algorithm}"
    benchmark_il.report(league.Config(algorithms=(asked.algorithm,), out=out, **fields))


if __name__ == "__main__":
    command.main(main)
