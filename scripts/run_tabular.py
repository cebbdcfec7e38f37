"""Recover a reward in a finite world by exact planning, and judge it without sampling.

    python scripts/run_tabular.py --method mce --env gridworld50
    python scripts/run_tabular.py --method relent --env gridworld50 --num_seeds 4

The run directory holds the checkpoints, metrics, summary, rewards, policies and maps.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import plotting
from evil.experiments import finite
from evil.experiments.settings import presets
from evil.running import command


def default(asked: argparse.Namespace) -> finite.Config:
    return presets.finite_world(asked.env, asked.method, asked.preset)


CHOOSING = [
    ("--env", {"default": "gridworld50"}),
    ("--method", {"default": "mce"}),
    ("--preset", {"default": "auto"}),
]


def main() -> None:
    config, output = command.parse(finite.Config, __doc__ or "", default, CHOOSING)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    command.carry_out(
        finite.study(config),
        config,
        output,
        name=f"{config.env}-{config.method}",
        draw=plotting.draw_all,
        show=show,
    )


def show(summary: dict[str, Any]) -> None:
    """Returns, and how near the reward is to the true one."""
    command.show_returns(summary)
    for name in ("success_rate", "pearson_distance", "epic_distance"):
        print(f"{name}: {summary[name]['mean']:.3f}")


if __name__ == "__main__":
    command.main(main, is_shared=True)
