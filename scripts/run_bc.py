"""Clone the policy behind demonstrations: supervised learning of its actions.

    python scripts/run_bc.py --env hopper --bc.loss nll

The run directory holds the checkpoints, metrics, summary and the cloned policies.
"""

from __future__ import annotations

import argparse
import dataclasses

from evil.experiments import clone, presets
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
    study = clone.study(config)
    with command.session(config, output, name=f"{config.env}-bc") as session:
        summary = study(session)
        assert session.directory is not None
    command.show_returns(summary)
    print(f"everything about this run is in {session.directory.path}")


if __name__ == "__main__":
    command.main(main)
