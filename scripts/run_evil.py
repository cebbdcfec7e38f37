"""Evolve a shaping term on a reward, and compare fresh learners with and without it.

    python scripts/run_evil.py --env cartpole --real
    python scripts/run_evil.py --env cartpole --reward_filename RUN

Every member of a population of potentials shapes the reward of fresh learners; an evolution
strategy follows those whose learners learned fastest. RUN is a finished run of run_irl.py, or one
of its reward files.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import plotting
from evil.experiments import shape
from evil.experiments.settings import presets
from evil.running import command

LIFE = "algorithm.inner_iterations"


def default(asked: argparse.Namespace) -> shape.Config:
    return presets.evolution(
        asked.env, asked.preset, backend=asked.backend, iterations=vars(asked)[LIFE]
    )


CHOOSING = [
    ("--env", {"default": "cartpole"}),
    ("--backend", {}),
    ("--preset", {"default": "auto"}),
    (f"--{LIFE}", {"type": int}),
]


def main() -> None:
    config, output = command.parse(shape.Config, __doc__ or "", default, CHOOSING)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    command.carry_out(
        shape.study(config),
        config,
        output,
        name=f"{config.env}-evil",
        draw=plotting.draw_all,
        show=show,
    )


def show(summary: dict[str, Any]) -> None:
    """Returns, and the areas under the curves of fresh learners."""
    command.show_returns(summary)
    for name, area in summary.items():
        if name.endswith("area_under_curve"):
            print(f"{name}: {area['mean']:.4g} [{area['low']:.4g}, {area['high']:.4g}]")


if __name__ == "__main__":
    command.main(main, is_shared=True)
