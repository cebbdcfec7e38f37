"""Adversarial imitation: a classifier of expert and agent, and a reward made of its logit.

    z = g(x)                                            or, with shaping (AIRL),
    z = g(x) + γ (1 - terminated) h(s') - h(s)          and, where wanted, - log π(a|s)

g sees standardised features x, and h takes up what depends on the dynamics. A potential changes no
optimal policy, so what is to be learned must fit into g: without hidden layers, as in part of the
literature, that is only what is linear in x. Losses and rewards of z are those of
`evil.rewards.logits`. With `embed` and no hidden layers, z is a table of one number for each x.

With the policy's log-probability subtracted the reward holds the policy's entropy already: a
learner that adds an entropy of its own counts it twice.

Reference: ho2016gail, kostrikov2019dac, fu2018airl, zhang2018mixup
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise
from evil.demonstrations.demonstrations import Demonstrations, actions_for, moments_of, transitions
from evil.descent import ADAM, descend
from evil.errors import UserError, fields_are_fractions, fields_at_least, unknown
from evil.networks import mlp, spectral
from evil.networks.mlp import MLP, apply
from evil.pytrees import pytree, traced
from evil.rewards import absorbing, contrast, features, logits, memoryless
from evil.rewards.penalties import gradient_penalty
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """An adversarial reward."""

    inputs: features.Inputs = "sa"
    """What g sees: see `evil.rewards.features`."""
    hidden: tuple[int, ...] = (64,)
    """Hidden layers of g."""
    activation: str = "relu"
    """Activation of the hidden layers."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's matrix products; weights and rewards are float32 in either case."""
    embed: bool = False
    """Whether whole-number observations and actions are looked up in a table, the first layer."""
    shaped: bool = False
    """Whether z has AIRL's form: g, and a potential h of states."""
    shaping_hidden: tuple[int, ...] = (64,)
    """Hidden layers of h."""
    shaping_discount: float = 0.99
    """γ of that form. Traced."""
    subtract_log_policy: bool = False
    """Whether log π(a|s) of the present policy is subtracted from z, where it is known."""
    reward: Literal["gail", "airl", "fairl", "ratio", "dail", "least_squares"] = "airl"
    """The reward of z."""
    reward_bound: float = 0.0
    """Bound of the reward's magnitude; 0 for none."""
    loss: Literal["binary", "mixup", "unlabelled", "least_squares", "moment_matching"] = "binary"
    """What z is fitted to."""
    mixup: float = 1.0
    """α of the Beta(α, α) by which mixup draws shares. Traced."""
    prior: float = 0.7
    """Share of the agent's steps that are like the expert's, for the unlabelled loss. Traced."""
    margin: float = 0.0
    """How far below zero its estimate of the rest's loss may fall. Traced."""
    batch_size: int = 256
    """Expert samples, and as many agent samples, in one update."""
    learning_rate: float = 3e-5
    """AdamW's step size. Traced."""
    weight_decay: float = 10.0
    """AdamW's decay per unit of step size. Traced."""
    gradient_penalty: float = 1.0
    """Weight of the penalty on slopes of z. Traced."""
    gradient_target: float = 0.0
    """Slope towards which it pulls, per standardised unit of input. Traced."""
    spectral: bool = True
    """Whether every layer's weights are divided by their largest singular value."""
    entropy_bonus: float = 0.0
    """Weight of the classifier's entropy. Traced."""
    input_dropout: float = 0.0
    """Share of inputs dropped during updates."""
    dropout: float = 0.0
    """Share of hidden units dropped during updates."""
    normalise: Literal["expert", "pooled"] = "expert"
    """Units of the inputs: the spread of the expert's, or the running one of expert and agent."""
    deviation_floor: float = 1e-3
    """Least standard deviation by which an input is divided."""
    absorbing_steps: int = 0
    """Steps for which an episode that terminated goes on in an absorbing state; 0: it is over."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each."""

    shaping_discount: Array
    mixup: Array
    prior: Array
    margin: Array
    learning_rate: Array
    weight_decay: Array
    gradient_penalty: Array
    gradient_target: Array
    entropy_bonus: Array


@pytree
class State:
    """A classifier in training."""

    network: PyTree  # {"g": ...}, and {"h": ...} if shaped
    singular: PyTree  # vectors that follow the weights' leading singular ones, or ()
    moments: normalise.Moments  # [F] of the inputs
    optimiser: optax.OptState
    hyper: Hyper


@pytree
class Inputs:
    """What z depends on, standardised."""

    x: Array  # [..., F]
    successor: Array  # [..., S], for shaping
    ends: Array  # [...], 1 where the step terminated, else 0
    log_prob: Array  # [...], zero where it is not subtracted


def mix(expert: Inputs, agent: Inputs, weight: Array) -> Inputs:
    """Points on straight lines between pairs, a share `weight [N]` of the way to the expert."""

    def between(e: Array, a: Array) -> Array:
        share = weight.reshape(weight.shape + (1,) * (e.ndim - 1))
        return share * e + (1.0 - share) * a

    return jax.tree.map(between, expert, agent)


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the classifier to an environment's observations and actions."""
    _check(config)
    spec, steps = env.spec, config.absorbing_steps
    width = features.size("s", spec)
    view = features.view(config.inputs, spec, floor=config.deviation_floor, embed=config.embed)
    units, sizes = view.units, view.sizes and view.sizes + ((2,) if steps else ())
    form = {"outputs": 1, "activation": config.activation, "dropout": config.dropout}
    form |= {"input_dropout": config.input_dropout, "precision": config.precision}
    module = MLP(config.hidden, sizes=sizes, **form)
    shaping = MLP(config.shaping_hidden, sizes=spec.obs_sizes if config.embed else (), **form)

    def look(mean: Array, std: Array, rows: Transition) -> Inputs:
        x = features.standardise(mean, std, view.select(config.inputs, rows))
        successor = x[..., :0]
        if config.shaped:
            successor = features.standardise(mean[:width], std[:width], view.select("next_s", rows))
        log_prob = jnp.zeros_like(x[..., 0])
        if config.subtract_log_policy and rows.log_prob is not None:
            log_prob = rows.log_prob
        return Inputs(
            x=absorbing.extend(x, rows) if steps else x,
            successor=successor,
            ends=rows.terminated.astype(jnp.float32),
            log_prob=log_prob,
        )

    def logit(network: PyTree, rows: Inputs, discount: Array, key: Key | None = None) -> Array:
        keys = [None] * 3 if key is None else list(jax.random.split(key, 3))
        z = apply(module, network["g"], rows.x, dropout=keys[0])[..., 0] - rows.log_prob
        if not config.shaped:
            return z
        before = apply(shaping, network["h"], rows.x[..., :width], dropout=keys[1])[..., 0]
        after = apply(shaping, network["h"], rows.successor, dropout=keys[2])[..., 0]
        return z + discount * (1.0 - rows.ends) * after - before  # ends may be mixed, too

    def paid(params: PyTree, rows: Inputs) -> Array:
        found = logits.REWARDS[config.reward](logit(params["network"], rows, params["discount"]))
        bound = config.reward_bound
        return jnp.clip(found, -bound, bound) if bound else found

    def init(key: Key, demos: Demonstrations) -> State:
        if config.subtract_log_policy:
            actions_for(demos, "subtract_log_policy")
        found = moments_of(demos, lambda rows: view.select(config.inputs, rows))
        first = look(*units(found), transitions(demos, demos.rows[:1]))
        key_g, key_h = jax.random.split(key)
        network = {"g": module.init(key_g, first.x)}
        if config.shaped:
            network["h"] = shaping.init(key_h, first.successor)
        return State(
            network=network,
            singular=spectral.init(network) if config.spectral else (),
            moments=found,
            optimiser=ADAM.init(network),
            hyper=traced(Hyper, config),
        )

    def params(state: State) -> PyTree:
        mean, std = units(state.moments)
        network = state.network
        if config.spectral:
            network = spectral.normalise(network, state.singular)
        discount = state.hyper.shaping_discount
        return {"network": network, "mean": mean, "std": std, "discount": discount}

    def score(params: PyTree, transitions: Transition) -> Array:
        rewards = paid(params, look(params["mean"], params["std"], transitions))
        if not steps:
            return rewards
        end, nothing = absorbing.state(params["mean"].shape[-1]), jnp.zeros(())
        after = paid(params, Inputs(x=end, successor=end[:0], ends=nothing, log_prob=nothing))
        return absorbing.continued(rewards, transitions, after, steps)

    def loss(
        network: PyTree, singular: PyTree, agent: Inputs, expert: Inputs, hyper: Hyper, key: Key
    ) -> tuple[Array, Metrics]:
        key_share, key_line, key_dropout = jax.random.split(key, 3)
        if config.spectral:
            network = spectral.normalise(network, singular)
        size = expert.log_prob.shape

        def z(rows: Inputs, key: Key | None = None) -> Array:
            return logit(network, rows, hyper.shaping_discount, key)

        if config.loss == "mixup":
            share = jax.random.beta(key_share, hyper.mixup, hyper.mixup, size)
            judged = z(mix(expert, agent, share), key_dropout)
            fit = logits.mixed_loss(judged, share)
        else:
            both = jax.tree.map(lambda e, a: jnp.concatenate([e, a]), expert, agent)
            judged = z(both, key_dropout)
            halves = jnp.split(judged, 2)
            fit = logits.loss(config.loss, *halves, prior=hyper.prior, margin=hyper.margin)
        line = mix(expert, agent, jax.random.uniform(key_line, size))
        slopes = jax.grad(lambda x: z(dataclasses.replace(line, x=x)).sum())(line.x)
        penalty = gradient_penalty(slopes, hyper.gradient_target)
        total = fit + hyper.gradient_penalty * penalty
        total = total - hyper.entropy_bonus * logits.entropy(judged).sum() / size[0]
        return total, {"reward/loss": fit, "reward/penalty": penalty}

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        key_loss, *keys = jax.random.split(key, 3)
        hyper, moments = state.hyper, state.moments
        if config.normalise == "pooled":
            both = [view.select(config.inputs, rows) for rows in (agent, expert)]
            moments = normalise.update(moments, jnp.concatenate(both))
        rows = [look(*units(moments), rows) for rows in (agent, expert)]
        if steps:
            rows = [
                dataclasses.replace(seen, x=absorbing.visit(key, seen.x, met.terminated, steps))
                for key, seen, met in zip(keys, rows, (agent, expert), strict=True)
            ]
        now = params(state)
        found = contrast.metrics(*(paid(now, seen) for seen in rows))
        singular = spectral.follow(state.network, state.singular) if config.spectral else ()
        seen = (state.network, singular, *rows, hyper, key_loss)
        grads, metrics = jax.grad(loss, has_aux=True)(*seen)
        step = {"rate": hyper.learning_rate, "decay": hyper.weight_decay}
        network, opt_state = descend(ADAM, grads, state.optimiser, state.network, **step)
        state = dataclasses.replace(state, network=network, singular=singular, moments=moments)
        return dataclasses.replace(state, optimiser=opt_state), metrics | found

    return RewardModel(
        init=init,
        params=params,
        score=memoryless(score, pays_absorbing=steps > 0),
        update=update,
        batch_size=config.batch_size,
    )


def _check(config: Config) -> None:
    mlp.check(config.hidden, config.activation, config.precision)
    mlp.check(config.shaping_hidden, config.activation)
    for kind, name, known in (
        ("reward inputs", config.inputs, features.NAMES),
        ("reward", config.reward, logits.REWARDS),
        ("reward loss", config.loss, logits.LOSSES),
        ("reward normalisation", config.normalise, ("expert", "pooled")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    fields_at_least(1, config, "batch_size")
    weights = ("reward_bound", "gradient_penalty", "weight_decay", "learning_rate")
    fields_at_least(0, config, "absorbing_steps", *weights)
    if config.embed and (config.loss == "mixup" or config.input_dropout):
        raise UserError("embed looks whole numbers up: expected no mixup and input_dropout 0.")
    fields_are_fractions(config, "input_dropout", "dropout", of_less_than_all=True)
    if config.shaped and config.absorbing_steps:
        raise UserError("the shaped form knows no absorbing state: expected absorbing_steps 0.")
    if config.shaped and config.inputs == "next_s":
        raise UserError("the shaped form needs the state acted upon, which next_s leaves out.")
