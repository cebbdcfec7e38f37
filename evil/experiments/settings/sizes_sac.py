"""SAC by environment: its sizes, and for how long it learns."""

from __future__ import annotations

import dataclasses

from evil.experiments.settings.sizes import Size
from evil.learners import sac


def _hidden(config: sac.Config, *widths: int) -> sac.Config:
    return dataclasses.replace(config, network=dataclasses.replace(config.network, hidden=widths))


DEFAULT = sac.Config()
# Classic control: small networks, few updates, and a replay that holds the whole run.
SMALL = _hidden(
    dataclasses.replace(
        DEFAULT, update_ratio=1 / 16, capacity=100_000, learning_rate=1e-3, final_learning_rate=1e-3
    ),
    64,
    64,
)

SIZES = {
    "pendulum": Size(dataclasses.replace(SMALL, discount=0.95), 400),
    "cartpole": Size(SMALL, 400),
    "gridworld": Size(SMALL, 200),
    "reacher": Size(dataclasses.replace(SMALL, discount=0.95), 2000),
}


# Imitation in minutes: steps cost less than updates here, so there are many for each, and what an
# update costs and what it moves is a sixteenth and three times of the default's. On hopper 128 k
# updates of this kind return 1060; of the default's two layers halved, 32 k returned 616.
QUICK = Size(
    _hidden(
        dataclasses.replace(
            DEFAULT,
            num_steps=16,
            update_ratio=1 / 16,
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            retention=0.98,
        ),
        64,
        64,
    ),
    2000,
)
SMOKE = _hidden(
    dataclasses.replace(
        SMALL, num_envs=16, num_steps=4, batch_size=32, capacity=1024, warmup=64, num_starts=4
    ),
    32,
    32,
)


def size(env: str) -> Size[sac.Config]:
    """The learner for an environment, by its canonical name, and its number of iterations."""
    return SIZES.get(env, Size(DEFAULT, 4000))


def imitating(env: str, preset: str) -> Size[sac.Config]:
    """The same where it imitates: smoke, quick, or as published one update per step."""
    if preset == "smoke":
        return Size(SMOKE, 6)
    if preset == "quick":
        return SIZES.get(env, QUICK)
    return Size(dataclasses.replace(DEFAULT, update_ratio=1.0), 4000)
