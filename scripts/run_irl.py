"""Recover a reward from demonstrations, and retrain a policy on it.

    python scripts/run_irl.py --env hopper --irl_plus

goes through behavioural cloning, inverse reinforcement learning, and fresh policies trained on
the recovered reward, on the real one and on mere survival. The run directory holds the
checkpoints, metrics, summary, the recovered reward and the figures.
"""

from __future__ import annotations

import argparse
import dataclasses

import jax

import plotting
from evil.experiments import recover
from evil.experiments.settings import presets
from evil.running import command


def default(asked: argparse.Namespace) -> recover.Config:
    return presets.recovery(
        asked.env,
        asked.preset,
        irl_plus=asked.irl_plus,
        recipe=asked.recipe,
        backend=asked.backend,
        iterations=asked.iterations,
    )


CHOOSING = [
    ("--env", {"default": "hopper"}),
    ("--backend", {}),
    ("--preset", {"default": "auto"}),
    ("--recipe", {"default": "default"}),
    ("--iterations", {"type": int}),
    ("--irl_plus", {"action": argparse.BooleanOptionalAction, "default": False}),
]


def main() -> None:
    config, output = command.parse(recover.Config, __doc__ or "", default, CHOOSING)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    command.carry_out(
        recover.study(config),
        config,
        output,
        name=f"{config.env}-{'irl_plus' if config.irl_plus else 'irl'}",
        draw=plotting.draw_all,
        note=f"preset {config.preset} on {jax.default_backend()}",
    )


if __name__ == "__main__":
    command.main(main, is_shared=True)
