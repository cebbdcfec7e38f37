"""Values found by search for soft actor-critic on four locomotion tasks, by number of episodes.

Thirty trials of Bayesian optimisation for each algorithm and number, scored by the worst task.
They are values of a learner with one environment and one update per step, so they go with sizes as
published rather than with those for minutes on a few cores.

Two differ from what was printed. Dropout of the classifier is left out, because the search varied
it without effect. Rounds of length zero are labels without rounds.

Reference: arulkumaran2023pragmatic
"""

from __future__ import annotations

from typing import Any, TypeVar

from evil.config import override
from evil.errors import UserError, unknown
from evil.experiments import clone, recover
from evil.learners import mixing
from evil.seams import Spec

T = TypeVar("T", bound=recover.Config | clone.Config)
Values = dict[str, Any]  # fields by dotted name


def _learner(
    warmup: int, batch: int, rate: float, discount: float, entropy: float, retention: float
) -> Values:
    """What all searches have in common; the step size does not fall."""
    values = {
        "warmup": warmup,
        "batch_size": batch,
        "learning_rate": rate,
        "final_learning_rate": rate,
        "discount": discount,
        "target_entropy": entropy,
        "retention": retention,
    }
    return {f"algorithm.learner.{name}": value for name, value in values.items()}


def _reward(**values: Any) -> Values:
    return {f"algorithm.reward.{name}": value for name, value in values.items()}


def _labels(kind: str, round_length: int, *, alternate: bool) -> Values:
    mixed = {"round_length": round_length, "alternate": alternate}
    learner = {f"algorithm.learner.{name}": value for name, value in mixed.items()}
    return learner | _reward(kind=kind)


def _clone(updates: int, rate: float, batch: int) -> Values:
    """So many updates, a hundred in an iteration, on all rows; nothing ends the training."""
    values = {
        "learning_rate": rate,
        "batch_size": batch,
        "weight_decay": 0.0,
        "validation_fraction": 0.0,
    }
    return {
        "iterations": -(-updates // 100),
        "bc.updates_per_iteration": 100,
        "bc.patience": updates,
    } | {f"bc.{name}": value for name, value in values.items()}


def _classifier(
    width: int, reward: str, rate: float, decay: float, penalty: float, entropy: float, loss: str,
    *, spectral: bool,
) -> Values:  # fmt: skip
    return _reward(
        hidden=(width,), activation="relu", reward=reward, learning_rate=rate, weight_decay=decay,
        gradient_penalty=penalty, spectral=spectral, entropy_bonus=entropy, loss=loss,
    )  # fmt: skip


def _fitted(
    hidden: tuple[int, ...], activation: str, inputs: float, units: float, updates: int,
    rate: float, decay: float,
) -> Values:  # fmt: skip
    return _reward(
        hidden=hidden, activation=activation, input_dropout=inputs, dropout=units,
        fit_updates=updates, learning_rate=rate, weight_decay=decay,
    )  # fmt: skip


_DROPPED = _reward(form="dropout")
TUNED: dict[str, dict[int, Values]] = {
    "bc": {
        5: _clone(29212, 1.4744e-4, 128),
        10: _clone(36931, 2.9021e-4, 128),
        25: _clone(78326, 2.6873e-4, 256),
    },
    "adril": {
        5: _learner(10000, 256, 2.0861e-4, 0.98505, -0.84358, 0.98777)
        | _labels("sqil", 0, alternate=True),
        10: _learner(1000, 128, 1.7316e-4, 0.98045, -0.9203, 0.99049)
        | _labels("adril", 12500, alternate=False),
        25: _learner(1000, 512, 1.5731e-4, 0.96724, -0.88923, 0.9889)
        | _labels("adril", 25000, alternate=True),
    },
    "dac": {
        5: _learner(10000, 1024, 2.5322e-4, 0.97742, -0.8084, 0.97108)
        | _classifier(64, "airl", 2.7781e-4, 8.4659, 0.27994, 0.24146, "mixup", spectral=True),
        10: _learner(1000, 512, 2.587e-4, 0.98537, -0.71594, 0.97479)
        | _classifier(64, "airl", 1.3089e-4, 0.68705, 0.436, 0.024794, "mixup", spectral=False),
        25: _learner(10000, 256, 2.9839e-4, 0.98245, -0.64189, 0.98707)
        | _classifier(128, "gail", 7.2994e-5, 6.3524, 0.3203, 0.015492, "binary", spectral=True),
    },
    "dril": {
        5: _learner(1000, 1024, 3.5388e-5, 0.96164, -0.54518, 0.97888)
        | _fitted((64,), "tanh", 0.21217, 0.20688, 9737, 4.5635e-5, 5.197)
        | _DROPPED
        | _reward(quantile=0.85951),
        10: _learner(1000, 128, 1.2847e-4, 0.95201, -0.81614, 0.98761)
        | _fitted((32, 32), "relu", 0.090611, 0.47192, 47314, 4.6177e-5, 6.7458)
        | _DROPPED
        | _reward(quantile=0.9544),
        25: _learner(1000, 256, 2.0103e-4, 0.95898, -0.74015, 0.98499)
        | _fitted((32, 32), "relu", 0.40332, 0.55649, 27350, 2.6517e-4, 5.377)
        | _DROPPED
        | _reward(quantile=0.96516),
    },
    "red": {
        5: _learner(10000, 128, 2.5594e-4, 0.9851, -0.5119, 0.98861)
        | _fitted((128, 128), "relu", 0.077648, 0.3771, 39187, 2.0942e-4, 0.73887),
        10: _learner(10000, 1024, 2.8769e-4, 0.95568, -0.62929, 0.97374)
        | _fitted((32,), "tanh", 0.38611, 0.68569, 47062, 3.3936e-5, 2.4643),
        25: _learner(10000, 512, 5.7287e-5, 0.95128, -0.57362, 0.98971)
        | _fitted((64, 64), "tanh", 0.053396, 0.4138, 73773, 2.379e-4, 2.5082),
    },
    "gmmil": {
        5: _learner(1000, 128, 2.5876e-4, 0.96699, -0.50851, 0.98079),
        10: _learner(1000, 128, 1.6341e-4, 0.97612, -0.88261, 0.995),
        25: _learner(1000, 128, 1.3456e-4, 0.95, -0.56559, 0.98309),
    },
    "pwil": {
        5: _learner(1000, 128, 2.477e-4, 0.96987, -0.58368, 0.9764)
        | _reward(scale=1.0, bandwidth=1.0),
        10: _learner(10000, 256, 2.6366e-4, 0.9694, -0.61845, 0.98213)
        | _reward(scale=10.0, bandwidth=5.0),
        25: _learner(10000, 1024, 2.0213e-4, 0.98953, -0.5718, 0.98542)
        | _reward(scale=5.0, bandwidth=5.0),
    },
}
BATCH = "algorithm.learner.batch_size"
# What else is drawn in batches of the learner's size: the rows that a classifier is fitted to and
# those that networks are fitted to before, and the expert's that are cloned beside.
SAME_BATCH = {
    "dac": ("algorithm.reward.batch_size",),
    "dril": ("algorithm.reward.fit_batch_size", "algorithm.learner.cloning_batch"),
    "red": ("algorithm.reward.fit_batch_size",),
}
# The search for GAIL had soft actor-critic and absorbing states, which is DAC.
ALIASES = {"gail": "dac"}


def has(algorithm: str) -> bool:
    """Whether values of an algorithm were searched for."""
    return ALIASES.get(algorithm, algorithm) in TUNED


def values(algorithm: str, num_demos: int | None, spec: Spec) -> Values:
    """The tuned fields of an algorithm; targets of the entropy only where actions are vectors."""
    if not has(algorithm):
        raise unknown("tuned algorithm", algorithm, (*TUNED, *ALIASES))
    known = TUNED[ALIASES.get(algorithm, algorithm)]
    if num_demos not in known:
        numbers = ", ".join(map(str, known))
        raise UserError(f"tuned values are for num_demos {numbers}: found {num_demos}.")
    found = dict(known[num_demos])
    batch = found.get(BATCH)
    found |= dict.fromkeys(SAME_BATCH.get(ALIASES.get(algorithm, algorithm), ()), batch)
    if spec.is_discrete:
        found.pop("algorithm.learner.target_entropy", None)
    return found


def apply(config: T, found: Values) -> T:
    """The config with tuned values, rounds to the nearest whole rollout."""
    rounds = "algorithm.learner.round_length"
    if rounds in found:
        learner: Any = config.algorithm.learner  # pyright: ignore[reportAttributeAccessIssue]
        rollout = learner.num_envs * learner.num_steps
        found = found | {rounds: mixing.nearest(found[rounds], rollout)}
    return override(config, found)
