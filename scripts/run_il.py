"""Imitate demonstrations with an algorithm by name, and measure how close it comes.

    python scripts/run_il.py --algorithm dac --env hopper --num_demos 10 [--tuned]

Algorithms: adril, airl, bc, dac, dril, fairl, gail, gmmil, pwil, red, sqil, and sac or ppo on the
real reward, which needs no demonstrations. --learner ppo or sac plays a reward with another learner
than its own; only the labels of adril and sqil need a replay. The run directory holds the
checkpoints, metrics, summary, policies, reward and figures. With --bc_iterations 60 cloning runs
beside it; with --num_retrained 5 fresh policies are trained on the reward that was recovered. With
--tuned, values are those found by search for 5, 10 or 25 demonstrations; gail is then played with
SAC, as it was in that search.
"""

from __future__ import annotations

import argparse
import dataclasses

import jax

import plotting
from evil.experiments import clone, recover
from evil.experiments.settings import algorithms, presets
from evil.running import command


def default(asked: argparse.Namespace) -> algorithms.Study:
    return algorithms.imitation(
        asked.algorithm,
        asked.env,
        asked.preset,
        backend=asked.backend,
        num_demos=asked.num_demos,
        iterations=asked.iterations,
        learner=asked.learner,
        is_tuned=asked.tuned,
    )


CHOOSING = [
    ("--env", {"default": "hopper"}),
    ("--backend", {}),
    ("--preset", {"default": "auto"}),
    ("--num_demos", {"type": int}),
    ("--iterations", {"type": int}),
]
ASIDE = [
    ("--algorithm", {"default": "dac"}),
    ("--learner", {}),
    ("--tuned", {"action": "store_true"}),
]


def main() -> None:
    kinds = (recover.Config, clone.Config)
    config, output = command.parse(kinds, __doc__ or "", default, CHOOSING, aside=ASIDE)
    config = dataclasses.replace(config, preset=presets.resolve(config.preset))
    command.carry_out(
        algorithms.study(config),
        config,
        output,
        name=f"{config.env}-{algorithms.name(config)}",
        draw=plotting.draw_all,
        note=f"preset {config.preset} on {jax.default_backend()}",
    )


if __name__ == "__main__":
    command.main(main, is_shared=True)
