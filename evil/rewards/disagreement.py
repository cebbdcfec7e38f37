"""Disagreement-regularised imitation: a reward for acting where clones of the expert agree.

    c(s, a) = aᵀ Cov_k[π_k(s)] a        for vectors in units of half their range
    c(s, a) = Var_k π_k(a|s)            for indices

π_1 ... π_K are clones fitted to resampled demonstrations, or, in the dropout form, one clone with K
fixed sets of units dropped. Where the expert was they agree. The reward is 1 where the cost is at
most that of a share `quantile` of the expert's own steps, and -1 elsewhere, which is also what
the absorbing state is paid: no clone has been there.

Reference: brantley2020dril
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations, actions_for, moments_of, transitions
from evil.distributions.family import bounds
from evil.errors import UserError, at_least, unknown
from evil.networks import mlp
from evil.networks.mlp import MLP, apply
from evil.pytrees import pytree, traced
from evil.rewards import absorbing, contrast, features, fitting, memoryless
from evil.seams import Environment, Key, PyTree, RewardModel, Transition

FORMS = ("ensemble", "dropout")
REWARDS = ("sign", "penalty", "cost")


@dataclasses.dataclass(frozen=True)
class Config:
    """A reward of agreement."""

    form: Literal["ensemble", "dropout"] = "ensemble"
    """Clones of resampled demonstrations, or one clone with units dropped."""
    members: int = 5
    """K: clones, or sets of dropped units."""
    hidden: tuple[int, ...] = (128, 128)
    """Hidden layers of a clone."""
    activation: str = "tanh"
    """Activation of the hidden layers."""
    input_dropout: float = 0.1
    """Share of inputs dropped, in the dropout form."""
    dropout: float = 0.1
    """Share of hidden units dropped, in the dropout form."""
    fit_updates: int = 5000
    """Updates of each clone, all before the first policy."""
    fit_batch_size: int = 256
    """Rows in one of them."""
    learning_rate: float = 1e-3
    """AdamW's step size. Traced."""
    weight_decay: float = 0.0
    """AdamW's decay per unit of step size. Traced."""
    quantile: float = 0.98
    """Share of the expert's steps that the threshold lets through. Traced."""
    reward: Literal["sign", "penalty", "cost"] = "sign"
    """1 and -1 on either side of the threshold; 0 and -1; or the negative cost in units of it, -1
    at least."""
    absorbing_steps: int = 0
    """Steps in the absorbing state by which an end is followed: see `evil.rewards.absorbing`."""
    batch_size: int = 256
    """Rows of either side in one update, which only measures."""
    deviation_floor: float = 1e-3
    """Least standard deviation by which an input is divided."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: all of what happens before the first policy."""

    learning_rate: Array
    weight_decay: Array
    quantile: Array


@pytree
class State:
    """Clones and threshold; nothing changes after `init`."""

    clones: PyTree  # [K, ...], or [1, ...] in the dropout form
    dropped: Array  # [K, ...] uint32: words of the keys that say what each set leaves out
    threshold: Array  # []
    mean: Array  # [F]
    std: Array


def spread(opinions: Array, action: Array) -> Array:
    """Variance over `opinions [K, ..., A]` along `action [..., A]`, times its squared length."""
    along = jnp.sum(opinions * action[None], axis=-1)
    return jnp.var(along, axis=0)


def reward(cost: Array, threshold: Array, form: str) -> Array:
    """What a cost `[...]` is paid."""
    if form == "cost":
        return -jnp.minimum(cost / (threshold + 1e-12), 1.0)
    return jnp.where(cost <= threshold, 1.0 if form == "sign" else 0.0, -1.0)


def make(config: Config, env: Environment) -> RewardModel:
    """Bind agreement to an environment's observations and actions."""
    _check(config)
    spec = env.spec
    thins = config.form == "dropout"
    module = MLP(
        config.hidden,
        spec.num_actions or spec.action_size,
        config.activation,
        output_gain=0.01,
        input_dropout=config.input_dropout if thins else 0.0,
        dropout=config.dropout if thins else 0.0,
    )

    def look(mean: Array, std: Array, rows: Transition) -> Array:
        return features.standardise(mean, std, features.select("s", spec, rows))

    def act(clone: PyTree, x: Array, dropout: Key | None = None) -> Array:
        """Probabilities of indices, or vectors in units of half their range."""
        output = apply(module, clone, x, dropout=dropout)
        return jax.nn.softmax(output) if spec.is_discrete else jnp.tanh(output)

    def chosen(rows: Transition) -> Array:
        if spec.is_discrete:
            return jax.nn.one_hot(rows.action, spec.num_actions or 1)
        return jnp.clip(bounds(spec).to_latent(rows.action), -1.0, 1.0)

    def opinion(clone: PyTree, dropped: Array, x: Array) -> Array:
        """Of one member, for `[N, F]`: the same units are dropped for every row."""
        if not thins:
            return act(clone, x)
        key = jax.random.wrap_key_data(dropped)
        return jax.vmap(lambda row: act(clone, row, key))(x)

    def costs(state: State, rows: Transition) -> Array:
        x = look(state.mean, state.std, rows)
        flat = x.reshape((-1, x.shape[-1]))
        axes = (None if thins else 0, 0, None)
        clones = state.clones
        if thins:
            clones = jax.tree.map(lambda leaf: leaf[0], clones)
        opinions = jax.vmap(opinion, axes)(clones, state.dropped, flat)
        return spread(opinions.reshape((-1, *x.shape[:-1], opinions.shape[-1])), chosen(rows))

    def clone(key: Key, demos: Demonstrations, mean: Array, std: Array, hyper: Hyper) -> PyTree:
        key_network, key_rows, key_fit = jax.random.split(key, 3)
        size = demos.rows.shape[0]
        resampled = jax.random.randint(key_rows, (size,), 0, demos.count)
        own = jnp.arange(size) % demos.count if thins else resampled

        def loss(params: PyTree, key: Key) -> Array:
            key_batch, key_dropout = jax.random.split(key)
            batch = jax.random.randint(key_batch, (config.fit_batch_size,), 0, demos.count)
            rows = transitions(demos, demos.rows[own[batch]])
            found = act(params, look(mean, std, rows), key_dropout)
            if spec.is_discrete:
                return -jnp.log(jnp.sum(found * chosen(rows), -1) + 1e-8).mean()
            return jnp.square(found - chosen(rows)).sum(-1).mean()

        first = look(mean, std, transitions(demos, demos.rows[:1]))
        return fitting.fit(
            key_fit,
            module.init(key_network, first),
            loss,
            updates=config.fit_updates,
            learning_rate=hyper.learning_rate,
            weight_decay=hyper.weight_decay,
        )

    def init(key: Key, demos: Demonstrations) -> State:
        actions_for(demos, "agreement of clones")
        key_clones, key_dropped = jax.random.split(key)
        hyper = traced(Hyper, config)
        seen = moments_of(demos, lambda rows: features.select("s", spec, rows))
        mean, std = features.units(seen, floor=config.deviation_floor)
        keys = jax.random.split(key_clones, 1 if thins else config.members)
        state = State(
            clones=jax.vmap(lambda key: clone(key, demos, mean, std, hyper))(keys),
            dropped=jax.random.key_data(jax.random.split(key_dropped, config.members)),
            threshold=jnp.zeros(()),
            mean=mean,
            std=std,
        )
        in_use = jnp.arange(demos.rows.shape[0]) < demos.count
        own = jnp.where(in_use, costs(state, transitions(demos, demos.rows)), jnp.nan)
        return dataclasses.replace(state, threshold=jnp.nanquantile(own, hyper.quantile))

    def score(params: State, rows: Transition) -> Array:
        found = reward(costs(params, rows), params.threshold, config.reward)
        if not config.absorbing_steps:
            return found
        return absorbing.continued(found, rows, jnp.array(-1.0), config.absorbing_steps)

    return RewardModel(
        init=init,
        params=lambda state: state,
        score=memoryless(score, pays_absorbing=config.absorbing_steps > 0),
        update=contrast.measuring(score),
        batch_size=config.batch_size,
    )


def _check(config: Config) -> None:
    mlp.check(config.hidden, config.activation)
    for kind, name, known in (
        ("form of disagreement", config.form, FORMS),
        ("reward of disagreement", config.reward, REWARDS),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    at_least(2, members=config.members)
    at_least(0, absorbing_steps=config.absorbing_steps)
    at_least(
        1,
        fit_updates=config.fit_updates,
        fit_batch_size=config.fit_batch_size,
        batch_size=config.batch_size,
    )
    if config.form == "dropout" and config.dropout == config.input_dropout == 0.0:
        raise UserError("the dropout form needs dropout or input_dropout above 0, found both at 0.")
    if not 0.0 < config.quantile <= 1.0:
        raise UserError(f"quantile must be above 0 and at most 1, found {config.quantile}")
