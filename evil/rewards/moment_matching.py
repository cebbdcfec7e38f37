"""Moment matching: the bounded function on which expert and agent differ most.

    max_f  E_expert f(x) - E_agent f(x) - c E (‖∇f(x̃)‖ - k)²,    f = sigmoid(network) ∈ (0, 1)

with x̃ on straight lines between expert and agent samples. f is the reward, always positive: a
policy may be paid for merely surviving, which is why runs report the survival baseline.

Reference: swamy2021moments, sapora2024evil, gulrajani2017improved
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import schedules
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


@pytree
class State:
    """A discriminator in training."""

    network: PyTree
    mean: Array  # [F] of the expert's inputs, fixed at the start
    std: Array  # [F]
    optimiser: optax.OptState
    count: Array  # [] int32, updates so far
    hyper: Hyper


def gradient_penalty(slopes: Array, target: Array | float) -> Array:
    """Mean squared distance of the slopes' norms from a target; `slopes` is `[N, F]`.

    The norm has a finite gradient at zero.
    """
    norms = jnp.sqrt(jnp.sum(jnp.square(slopes), axis=-1) + 1e-12)
    return jnp.mean(jnp.square(norms - target))


def loss(
    network: PyTree, module: MLP, agent: Array, expert: Array, mixed: Array, hyper: Hyper
) -> tuple[Array, Metrics]:
    """Negative gap plus penalty, for standardised inputs `[N, F]` each."""
    values = evaluate(network, module, jnp.concatenate([agent, expert]))
    agent_mean = values[: agent.shape[0]].mean()
    expert_mean = values[agent.shape[0] :].mean()
    slopes = jax.grad(lambda x: evaluate(network, module, x).sum())(mixed)
    penalty = gradient_penalty(slopes, hyper.gradient_target)
    gap = expert_mean - agent_mean
    return hyper.gradient_penalty * penalty - gap, {
        "reward/gap": gap,
        "reward/expert_mean": expert_mean,
        "reward/agent_mean": agent_mean,
        "reward/penalty": penalty,
    }


def evaluate(network: PyTree, module: MLP, inputs: Array) -> Array:
    """f in (0, 1) at standardised inputs `[..., F]`."""
    return jax.nn.sigmoid(apply(module, network, inputs).squeeze(-1))


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the discriminator to an environment's observations and actions."""
    activation(config.activation)  # a wrong name is refused here, not when it is first applied
    if config.inputs not in features.NAMES:
        raise unknown("reward inputs", config.inputs, features.NAMES)
    at_least(1, batch_size=config.batch_size, schedule_updates=config.schedule_updates)
    module = MLP(config.hidden, 1, config.activation, output_gain=2.0**0.5)
    spec = env.spec

    def init(key: Key, demos: Demonstrations) -> State:
        inputs = features.select(config.inputs, spec, transitions(demos, demos.rows))
        valid = jnp.arange(demos.rows.shape[0]) < demos.count
        mean, std = features.moments(inputs, valid, floor=config.deviation_floor)
        network = module.init(key, mean[None])
        return State(
            network=network,
            mean=mean,
            std=std,
            optimiser=_adam().init(network),
            count=jnp.zeros((), jnp.int32),
            hyper=traced(Hyper, config),
        )

    def params(state: State) -> PyTree:
        return {"network": state.network, "mean": state.mean, "std": state.std}

    def score(params: PyTree, transitions: Transition) -> Array:
        inputs = features.select(config.inputs, spec, transitions)
        inputs = features.standardise(params["mean"], params["std"], inputs)
        return evaluate(params["network"], module, inputs)

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        agent_inputs, expert_inputs = (
            features.standardise(state.mean, state.std, features.select(config.inputs, spec, rows))
            for rows in (agent, expert)
        )
        weights = jax.random.uniform(key, (config.batch_size, 1))
        mixed = weights * expert_inputs + (1.0 - weights) * agent_inputs
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.network, module, agent_inputs, expert_inputs, mixed, state.hyper
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
        state = dataclasses.replace(
            state, network=network, optimiser=optimiser, count=state.count + 1
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
