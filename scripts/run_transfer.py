"""Carry a recovered reward to changed worlds, and train there on it, shaped and unshaped.

    python scripts/run_transfer.py --reward RUN [--shaping EVIL_RUN] [--num_dynamics 5]

Bodies of Brax robots are drawn anew (limb sizes, joint limits); classic control has other gravity
or torque. Beside the recovered reward stand the real one, in the same worlds and with the same
learner, and the clone from the source world as it is.
"""

from __future__ import annotations

import argparse

import plotting
from evil.experiments import transfer
from evil.running import command


def default(asked: argparse.Namespace) -> transfer.Config:
    del asked
    return transfer.Config()


def main() -> None:
    config, output = command.parse(transfer.Config, __doc__ or "", default, [])
    study = transfer.study(config)
    name = f"{study.env.spec.name}-transfer"
    command.carry_out(study, config, output, name=name, draw=plotting.draw_all)


if __name__ == "__main__":
    command.main(main, is_shared=True)
