"""Train an expert on the real reward, and collect demonstrations from it.

    python scripts/train_expert.py --env hopper
    python scripts/train_expert.py --env pendulum --learner sac      (default: ppo)

writes the policy, twenty episodes and a score card to experts/, beside the run directory.
"""

from __future__ import annotations

import argparse

from evil.experiments import expert
from evil.experiments.settings import presets
from evil.running import command


def default(asked: argparse.Namespace) -> expert.Config:
    return presets.expert(
        asked.env, backend=asked.backend, iterations=asked.iterations, learner=asked.learner
    )


CHOOSING = [
    ("--env", {"default": "hopper"}),
    ("--backend", {}),
    ("--iterations", {"type": int}),
]
ASIDE = [("--learner", {"default": "ppo"})]


def main() -> None:
    config, output = command.parse(expert.Config, __doc__ or "", default, CHOOSING, aside=ASIDE)
    study = expert.study(config)
    with command.session(config, output, name=f"expert-{config.env}") as session:
        folder = study(session)
    print(f"the expert is in {folder}")


if __name__ == "__main__":
    command.main(main)
