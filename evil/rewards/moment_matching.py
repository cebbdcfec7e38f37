"""Moment matching: the function on which expert and agent differ most.

    max_f  E_expert f(x) - E_agent f(x) - c E (‖∇f(x̃)‖ - k)²,    r(x) = f(x) - b

with x̃ on straight lines between expert and agent samples.

As published, f = sigmoid(network) of inputs in units of the expert's spread, and b = 0. The
expert's spread is narrow: whoever is far away sees f saturated, a reward without a slope. Linear
f, of inputs in units of what expert and agent spread over together, and a penalty on slopes above
k alone, which leaves no local optimum with the wrong sign, give the potential that a Wasserstein
distance maximises: it falls at a steady rate with the distance from the expert. Its level is
arbitrary and decides whether living on pays, so b is the least that the agent has met: a policy
is paid for surviving, which is why runs report the survival baseline.

The distance itself misleads: who stands still in a posture of the expert's is nearer to it than who
moves clumsily. With noise on the inputs of both during updates, f separates two blurred
distributions, and sees only what differs on the whole.

Reference: swamy2021moments, sapora2024evil, gulrajani2017improved, petzka2018regularization
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise, schedules
from evil.demonstrations.demonstrations import Demonstrations, transitions
from evil.errors import at_least, unknown
from evil.networks.mlp import MLP, activation, apply
from evil.pytrees import pytree, traced
from evil.rewards import features, memoryless
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """A moment-matching discriminator."""

    inputs: features.Inputs = "s"
    """What it sees: observation (s), with action (sa), successor (next_s), or both (ss)."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers."""
    activation: str = "relu"
    """Activation of the hidden layers."""
    batch_size: int = 1024
    """Expert samples, and as many agent samples, in one update."""
    gradient_penalty: float = 10.0
    """Weight c of the gradient penalty. Traced."""
    gradient_target: float = 0.4
    """Slope k towards which the penalty pulls, per standardised unit of input. Traced."""
    one_sided: bool = False
    """Whether only slopes above the target are penalised."""
    learning_rate: float = 4e-3
    """AdamW's step size at the start. Traced."""
    final_learning_rate: float = 4e-7
    """AdamW's step size at the end of a linear schedule. Traced."""
    schedule: Literal["constant", "linear", "harmonic"] = "linear"
    """How the step size falls."""
    schedule_updates: int = 4000
    """Updates over which a linear schedule falls; the period of a harmonic one."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay. Traced."""
    output: Literal["sigmoid", "linear"] = "sigmoid"
    """f as the network's output in (0, 1), or unbounded."""
    normalise: Literal["expert", "pooled"] = "expert"
    """Units of the inputs: the spread of the expert's, or the running one of expert and agent."""
    baseline: Literal["none", "agent", "least"] = "none"
    """What is subtracted from f: nothing, or the agent's running mean or fifth percentile."""
    input_noise: float = 0.0
    """Standard deviation of noise on standardised inputs during updates. Traced."""
    averaging: float = 0.0
    """Decay per update of the running average of weights that rewards are read from; 0 reads the
    present weights. Traced."""
    deviation_floor: float = 1e-3
    """Least standard deviation by which an input is divided."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each."""

    gradient_penalty: Array
    gradient_target: Array
    learning_rate: Array
    final_learning_rate: Array
    weight_decay: Array
    input_noise: Array
    averaging: Array


@pytree
class State:
    """A discriminator in training."""

    network: PyTree
    average: PyTree  # of the network's weights: what rewards are read from
    moments: normalise.Moments  # [F] of the inputs
    baseline: Array  # [] b
    optimiser: optax.OptState
    count: Array  # [] int32, updates so far
    hyper: Hyper


def gradient_penalty(slopes: Array, target: Array | float, *, one_sided: bool = False) -> Array:
    """Mean squared distance of the slopes' norms from a target, or above it; `slopes` `[N, F]`.

    The norm has a finite gradient at zero.
    """
    excess = jnp.sqrt(jnp.sum(jnp.square(slopes), axis=-1) + 1e-12) - target
    return jnp.mean(jnp.square(jnp.maximum(excess, 0.0) if one_sided else excess))


def loss(
    function: Callable[[PyTree, Array], Array],
    network: PyTree,
    agent: Array,
    expert: Array,
    mixed: Array,
    hyper: Hyper,
    *,
    one_sided: bool,
) -> tuple[Array, Metrics]:
    """Negative gap plus penalty, for standardised inputs `[N, F]` each."""
    values = function(network, jnp.concatenate([agent, expert]))
    agent_mean, expert_mean = (half.mean() for half in jnp.split(values, [agent.shape[0]]))
    slopes = jax.grad(lambda x: function(network, x).sum())(mixed)
    penalty = gradient_penalty(slopes, hyper.gradient_target, one_sided=one_sided)
    gap = expert_mean - agent_mean
    metrics = {
        "reward/gap": gap,
        "reward/expert_mean": expert_mean,
        "reward/agent_mean": agent_mean,
        "reward/penalty": penalty,
    }
    return hyper.gradient_penalty * penalty - gap, metrics


def track_baseline(kind: str, baseline: Array, values: Array, count: Array) -> Array:
    """b `[]` after f of the agent's batch `[N]` in update number `count`, from 0.

    f changes from update to update, so b follows with a memory of about fifty of them.
    """
    if kind == "none":
        return baseline
    found = values.mean() if kind == "agent" else jnp.quantile(values, 0.05)
    return baseline + (found - baseline) * jnp.maximum(0.02, 1.0 / (count + 1))


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the discriminator to an environment's observations and actions."""
    activation(config.activation)  # a wrong name is refused here, not when it is first applied
    for kind, name, known in (
        ("reward inputs", config.inputs, features.NAMES),
        ("reward output", config.output, ("sigmoid", "linear")),
        ("reward normalisation", config.normalise, ("expert", "pooled")),
        ("reward baseline", config.baseline, ("none", "agent", "least")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    at_least(1, batch_size=config.batch_size, schedule_updates=config.schedule_updates)
    module = MLP(config.hidden, 1, config.activation, output_gain=2.0**0.5)
    spec = env.spec

    def function(network: PyTree, inputs: Array) -> Array:
        """f `[...]` of standardised inputs `[..., F]`."""
        values = apply(module, network, inputs).squeeze(-1)
        return jax.nn.sigmoid(values) if config.output == "sigmoid" else values

    def init(key: Key, demos: Demonstrations) -> State:
        inputs = features.select(config.inputs, spec, transitions(demos, demos.rows))
        valid = jnp.arange(demos.rows.shape[0]) < demos.count
        moments = features.moments(inputs, valid)
        network = module.init(key, moments.mean[None])
        return State(
            network=network,
            average=network,
            moments=moments,
            baseline=jnp.zeros(()),
            optimiser=_adam().init(network),
            count=jnp.zeros((), jnp.int32),
            hyper=traced(Hyper, config),
        )

    def params(state: State) -> PyTree:
        mean, std = features.units(state.moments, floor=config.deviation_floor)
        return {"network": state.average, "mean": mean, "std": std, "baseline": state.baseline}

    def score(params: PyTree, transitions: Transition) -> Array:
        inputs = features.select(config.inputs, spec, transitions)
        inputs = features.standardise(params["mean"], params["std"], inputs)
        return function(params["network"], inputs) - params["baseline"]

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        key_mix, key_agent, key_expert = jax.random.split(key, 3)
        raw = [features.select(config.inputs, spec, rows) for rows in (agent, expert)]
        moments = state.moments
        if config.normalise == "pooled":
            moments = normalise.update(moments, jnp.concatenate(raw))
        mean, std = features.units(moments, floor=config.deviation_floor)
        exact = [features.standardise(mean, std, rows) for rows in raw]
        agent_inputs, expert_inputs = (
            rows + state.hyper.input_noise * jax.random.normal(key, rows.shape)
            for key, rows in zip((key_agent, key_expert), exact, strict=True)
        )
        weights = jax.random.uniform(key_mix, (config.batch_size, 1))
        mixed = weights * expert_inputs + (1.0 - weights) * agent_inputs
        grads, metrics = jax.grad(loss, argnums=1, has_aux=True)(
            function,
            state.network,
            agent_inputs,
            expert_inputs,
            mixed,
            state.hyper,
            one_sided=config.one_sided,
        )
        rate = schedules.rate(
            config.schedule,
            state.hyper.learning_rate,
            state.hyper.final_learning_rate,
            config.schedule_updates,
            state.count,
        )
        updates, optimiser = _adam().update(grads, state.optimiser, state.network)
        decay = state.hyper.weight_decay
        network = jax.tree.map(lambda p, u: p - rate * (u + decay * p), state.network, updates)
        keep = state.hyper.averaging
        agent_values = function(state.average, exact[0])  # as policies see it: without noise
        state = dataclasses.replace(
            state,
            network=network,
            average=jax.tree.map(lambda a, p: keep * a + (1.0 - keep) * p, state.average, network),
            moments=moments,
            baseline=track_baseline(config.baseline, state.baseline, agent_values, state.count),
            optimiser=optimiser,
            count=state.count + 1,
        )
        return state, metrics | {"reward/learning_rate": rate}

    return RewardModel(
        init=init,
        params=params,
        score=memoryless(score),
        update=update,
        batch_size=config.batch_size,
    )


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(eps=1e-5)
