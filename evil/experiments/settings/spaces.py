"""What a search varies, by algorithm: the published spaces.

`also` are further fields that take the same value, such as the last step size beside the first.

Reference: arulkumaran2023pragmatic
"""

from __future__ import annotations

import dataclasses
from typing import Any

from evil.errors import unknown
from evil.experiments.settings import tuned
from evil.seams import Spec


@dataclasses.dataclass(frozen=True)
class Between:
    """A number between bounds, uniformly."""

    low: float
    high: float
    whole: bool = False
    also: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of several values, each as JSON has it."""

    values: tuple[Any, ...]
    also: tuple[str, ...] = ()


Space = dict[str, Between | OneOf]  # by the dotted name of a field

BATCHES = OneOf((128, 256, 512, 1024))
LAYERS = OneOf(tuple([width] * depth for depth in (1, 2) for width in (32, 64, 128)))
LEARNER: Space = {
    "algorithm.learner.warmup": OneOf((1000, 10000)),
    "algorithm.learner.batch_size": BATCHES,
    "algorithm.learner.learning_rate": Between(
        3e-5, 3e-4, also=("algorithm.learner.final_learning_rate",)
    ),
    "algorithm.learner.discount": Between(0.95, 0.99),
    "algorithm.learner.target_entropy": Between(-1.0, -0.5),
    "algorithm.learner.retention": Between(0.97, 0.995),
}
NETWORK: Space = {
    "algorithm.reward.hidden": LAYERS,
    "algorithm.reward.activation": OneOf(("relu", "tanh")),
    "algorithm.reward.learning_rate": Between(3e-5, 3e-4),
    "algorithm.reward.weight_decay": Between(0.0, 10.0),
}
FITTED: Space = NETWORK | {
    "algorithm.reward.input_dropout": Between(0.0, 0.5),
    "algorithm.reward.dropout": Between(0.05, 0.75),
    "algorithm.reward.fit_updates": Between(1000, 100_000, whole=True),
}
SPACES: dict[str, Space] = {
    "adril": LEARNER
    | {
        "algorithm.learner.alternate": OneOf((True, False)),
        "algorithm.learner.round_length": OneOf((0, 1250, 2500, 5000, 12500, 25000, 50000)),
    },
    "bc": {
        "iterations": Between(10, 1000, whole=True),  # of a hundred updates
        "bc.learning_rate": Between(3e-5, 3e-4),
        "bc.batch_size": BATCHES,
    },
    "dac": LEARNER
    | NETWORK
    | {
        "algorithm.reward.reward": OneOf(("gail", "airl", "ratio")),
        "algorithm.reward.loss": OneOf(("binary", "mixup", "unlabelled")),
        "algorithm.reward.gradient_penalty": Between(0.0, 1.0),
        "algorithm.reward.spectral": OneOf((True, False)),
        "algorithm.reward.entropy_bonus": Between(0.0, 0.3),
        "algorithm.reward.input_dropout": Between(0.0, 0.5),
        "algorithm.reward.dropout": Between(0.05, 0.75),
    },
    "dril": LEARNER | FITTED | {"algorithm.reward.quantile": Between(0.8, 0.98)},
    "gmmil": LEARNER | {"algorithm.learner.batch_size": OneOf((128, 256))},
    "pwil": LEARNER
    | {
        "algorithm.reward.scale": OneOf((1.0, 5.0, 10.0)),
        "algorithm.reward.bandwidth": OneOf((1.0, 5.0, 10.0)),
    },
    "red": LEARNER | FITTED,
    "sac": LEARNER,
    "sqil": LEARNER,
}
# What goes with a search: ends that are worth something at every discount alike, rewards that
# cannot run away, and cloning of all rows that does not stop before its time.
FIXED: dict[str, dict[str, Any]] = {
    "bc": {
        "bc.updates_per_iteration": 100,
        "bc.patience": 100_000,
        "bc.weight_decay": 0.0,
        "bc.validation_fraction": 0.0,
    },
    "dac": {
        "algorithm.learner.absorbing": "virtual",
        "algorithm.reward.absorbing_steps": 1,
        "algorithm.reward.reward_bound": 10.0,
    },
    "dril": {"algorithm.reward.form": "dropout"},
}


def of(algorithm: str, specs: list[Spec]) -> Space:
    """The space of an algorithm on environments; entropies to aim at only of action vectors."""
    if algorithm not in SPACES:
        raise unknown("algorithm with a search space", algorithm, SPACES)
    space = SPACES[algorithm]
    if algorithm in tuned.SAME_BATCH:
        space = space | {tuned.BATCH: OneOf(BATCHES.values, also=tuned.SAME_BATCH[algorithm])}
    left_out = {"algorithm.learner.target_entropy"} if any(x.is_discrete for x in specs) else set()
    return {path: place for path, place in space.items() if path not in left_out}
