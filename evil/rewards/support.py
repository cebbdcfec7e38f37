"""Random expert distillation: a reward for being where the expert was, whoever is there.

    r(x) = exp(-σ |φ̂(x) - φ(x)|²),    φ̂ fitted to φ on the expert's rows

φ is a random network. φ̂, which is shallower, imitates it only where it has seen it. σ is set so
that the median row of those held out is paid `expert_reward`: a scale taken from distances of
unrelated rows pays everybody alike.

Reference: wang2019red
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations, moments_of, transitions
from evil.errors import UserError, at_least, fields_are_fractions, unknown
from evil.networks import mlp
from evil.networks.mlp import MLP, apply
from evil.pytrees import pytree, traced
from evil.rewards import contrast, features, fitting, memoryless
from evil.seams import Environment, Key, PyTree, RewardModel, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Random expert distillation."""

    inputs: features.Inputs = "sa"
    """What it sees: see `evil.rewards.features`."""
    target_hidden: tuple[int, ...] = (128, 128, 128)
    """Hidden layers of φ."""
    hidden: tuple[int, ...] = (128,)
    """Hidden layers of φ̂."""
    outputs: int = 128
    """Outputs of both."""
    activation: str = "relu"
    """Activation of the hidden layers."""
    input_dropout: float = 0.0
    """Share of φ̂'s inputs dropped while it is fitted."""
    dropout: float = 0.0
    """Share of φ̂'s hidden units dropped while it is fitted."""
    fit_updates: int = 5000
    """Updates of φ̂, all before the first policy."""
    fit_batch_size: int = 256
    """Rows in one of them."""
    learning_rate: float = 1e-3
    """AdamW's step size. Traced."""
    weight_decay: float = 0.0
    """AdamW's decay per unit of step size. Traced."""
    held_out: float = 0.2
    """Share of the rows that φ̂ does not see and σ is set by. Traced."""
    expert_reward: float = 0.9
    """What the median row of those is paid. Traced."""
    batch_size: int = 256
    """Rows of either side in one update, which only measures."""
    deviation_floor: float = 1e-3
    """Least standard deviation by which an input is divided."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: all of what happens before the first policy."""

    learning_rate: Array
    weight_decay: Array
    held_out: Array
    expert_reward: Array


@pytree
class State:
    """Networks and scale; nothing changes after `init`."""

    target: PyTree
    predictor: PyTree
    sigma: Array  # []
    mean: Array  # [F]
    std: Array


def scale(errors: Array, expert_reward: Array | float) -> Array:
    """σ for which the median of `errors [N]`, NaN left out, is paid `expert_reward`."""
    return -jnp.log(expert_reward) / (jnp.nanmedian(errors) + 1e-12)


def make(config: Config, env: Environment) -> RewardModel:
    """Bind distillation to an environment's observations and actions."""
    _check(config)
    spec = env.spec
    form = {"outputs": config.outputs, "activation": config.activation, "output_gain": 2.0**0.5}
    target = MLP(config.target_hidden, **form)
    predictor = MLP(
        config.hidden, **form, input_dropout=config.input_dropout, dropout=config.dropout
    )

    def look(mean: Array, std: Array, rows: Transition) -> Array:
        return features.standardise(mean, std, features.select(config.inputs, spec, rows))

    def errors(state: PyTree, x: Array, fitted: PyTree, key: Key | None = None) -> Array:
        guess = apply(predictor, fitted, x, dropout=key)
        return jnp.square(guess - apply(target, state, x)).mean(axis=-1)

    def init(key: Key, demos: Demonstrations) -> State:
        key_target, key_predictor, key_rows, key_fit = jax.random.split(key, 4)
        hyper = traced(Hyper, config)
        seen = moments_of(demos, lambda rows: features.select(config.inputs, spec, rows))
        mean, std = features.units(seen, floor=config.deviation_floor)
        rows = fitting.shuffled(key_rows, demos)
        apart = jnp.ceil(hyper.held_out * demos.count).astype(jnp.int32)  # the first so many
        first = look(mean, std, transitions(demos, rows[:1]))
        random = target.init(key_target, first)

        def loss(params: PyTree, key: Key) -> Array:
            key_batch, key_dropout = jax.random.split(key)
            last = jnp.maximum(demos.count, apart + 1)
            batch = jax.random.randint(key_batch, (config.fit_batch_size,), apart, last)
            x = look(mean, std, transitions(demos, rows[batch]))
            return errors(random, x, params, key_dropout).mean()

        fitted = fitting.fit(
            key_fit,
            predictor.init(key_predictor, first),
            loss,
            updates=config.fit_updates,
            learning_rate=hyper.learning_rate,
            weight_decay=hyper.weight_decay,
        )
        found = errors(random, look(mean, std, transitions(demos, rows)), fitted)
        unseen = jnp.where(jnp.arange(rows.shape[0]) < apart, found, jnp.nan)
        sigma = scale(unseen, hyper.expert_reward)
        return State(target=random, predictor=fitted, sigma=sigma, mean=mean, std=std)

    def score(params: State, rows: Transition) -> Array:
        x = look(params.mean, params.std, rows)
        return jnp.exp(-params.sigma * errors(params.target, x, params.predictor))

    return RewardModel(
        init=init,
        params=lambda state: state,
        score=memoryless(score),
        update=contrast.measuring(score),
        batch_size=config.batch_size,
    )


def _check(config: Config) -> None:
    for hidden in (config.hidden, config.target_hidden):
        mlp.check(hidden, config.activation)
    if config.inputs not in features.NAMES:
        raise unknown("reward inputs", config.inputs, features.NAMES)
    at_least(
        1,
        outputs=config.outputs,
        fit_updates=config.fit_updates,
        fit_batch_size=config.fit_batch_size,
        batch_size=config.batch_size,
    )
    fields_are_fractions(config, "input_dropout", "dropout", of_less_than_all=True)
    for name in ("held_out", "expert_reward"):
        if not 0.0 < getattr(config, name) < 1.0:
            raise UserError(f"{name} must be between 0 and 1, found {getattr(config, name)}")
