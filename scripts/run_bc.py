"""Clone the policy behind demonstrations: supervised learning of its actions.

    python scripts/run_bc.py --env hopper --bc.loss nll

The run directory holds the checkpoints, metrics, summary and the cloned policies.
"""

from __future__ import annotations

import argparse
import dataclasses

import plotting
from evil.experiments import clone
from evil.experiments.settings import presets
from evil.running import command


def default(asked: argparse.Namespace) -> clone.Config:
    return presets.cloning(asked.env, asked.preset, backend=asked.backend)


CHOOSING = [
    ("--env", {"default": "hopper"}),
    ("--backend", {}),
    ("--preset", {"default": "auto"}),
]


def main() -> None:
    config, output = command.parse(clone.Config, __doc__ or "", default, CHOOSING)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    name = f"{config.env}-bc"
    command.carry_out(clone.study(config), config, output, name=name, draw=plotting.draw_all)


if __name__ == "__main__":
    command.main(main, is_shared=True)
