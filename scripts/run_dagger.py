"""Imitate an expert that labels what the learner sees (DAgger), beside cloning it online.

    python scripts/run_dagger.py --env hopper --num_seeds 3 --film_rounds 0 5 20

The run directory holds the checkpoints, metrics, summary, figures and the learned policies.
"""

from __future__ import annotations

import argparse
import dataclasses

import plotting
from evil.experiments import dagger
from evil.experiments.settings import presets
from evil.running import command


def default(asked: argparse.Namespace) -> dagger.Config:
    return presets.dagging(asked.env, asked.preset, backend=asked.backend)


CHOOSING = [
    ("--env", {"default": "hopper"}),
    ("--backend", {}),
    ("--preset", {"default": "auto"}),
]


def main() -> None:
    config, output = command.parse(dagger.Config, __doc__ or "", default, CHOOSING)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    name = f"{config.env}-dagger"
    command.carry_out(dagger.study(config), config, output, name=name, draw=plotting.draw_all)


if __name__ == "__main__":
    command.main(main, is_shared=True)
