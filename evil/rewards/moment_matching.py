"""Moment matching: the function on which expert and agent differ most.

    max_f  E_expert f(x) - E_agent f(x) - c E (‖∇f(x̃)‖ - k)²,    r(x) = f(x) - b

with x̃ on straight lines between expert and agent samples.

As published, f = sigmoid(network) of inputs in units of the expert's spread, and b = 0. The
expert's spread is narrow: whoever is far away sees f saturated, a reward without a slope. Linear
f, of inputs in units of what expert and agent spread over together, and a penalty on slopes above
k alone, which leaves no local optimum with the wrong sign, give the potential that a Wasserstein
distance maximises: it falls at a steady rate with the distance from the expert. Its level is
arbitrary, so b is low among what agent and expert do: see `evil.rewards.levels`.

The distance itself misleads: who stands still in a posture of the expert's is nearer to it than who
moves clumsily. With noise on the inputs during updates, f sees only what differs on the whole.

Reference: swamy2021moments, sapora2024evil, gulrajani2017improved, petzka2018regularization
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise, schedules
from evil.demonstrations.demonstrations import Demonstrations, moments_of, transitions
from evil.descent import descend
from evil.errors import fields_are_fractions, fields_at_least, unknown
from evil.networks import mlp, spectral
from evil.networks.mlp import MLP, apply
from evil.pytrees import pytree, traced
from evil.rewards import absorbing, features, levels, memoryless, outputs
from evil.rewards.penalties import gradient_penalty
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """A moment-matching discriminator."""

    inputs: features.Inputs = "s"
    """What it sees: see `evil.rewards.features`."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers."""
    activation: str = "relu"
    """Activation of the hidden layers."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's matrix products; weights and rewards are float32 in either case."""
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
    optimism: float = 0.0
    """How much of the gradient's last change is expected again: 0 is plain descent, 1 optimistic.
    Traced."""
    spectral: bool = False
    """Whether every layer's weights are divided by their largest singular value."""
    output: outputs.Output = "sigmoid"
    """f as the network's output between 0 and 1 (sigmoid, clipped), unbounded (linear), or bounded
    while it is fitted and unbounded when it is paid (logit)."""
    normalise: Literal["expert", "pooled"] = "expert"
    """Units of the inputs: the spread of the expert's, or the running one of expert and agent."""
    baseline: levels.Kind = "none"
    """What is subtracted from the reward: nothing, or its mean (agent) or a low quantile (least)
    over what the agent does."""
    baseline_quantile: float = 0.05
    """Share of what the agent does that is paid less than nothing, for `least`. Traced."""
    expert_quantile: float = 1.0
    """Most of what the expert does that `least` may pay less than nothing; 1: all of it. Traced."""
    absorbing_steps: int = 0
    """Steps for which an episode that terminated goes on in an absorbing state; 0: it is over."""
    input_noise: float = 0.0
    """Standard deviation of noise on all standardised inputs during updates. Traced."""
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
    optimism: Array
    input_noise: Array
    averaging: Array
    baseline_quantile: Array
    expert_quantile: Array


@pytree
class State:
    """A discriminator in training."""

    network: PyTree
    average: PyTree  # of the network's weights: what rewards are read from
    singular: PyTree  # vectors that follow the weights' leading singular ones, or ()
    moments: normalise.Moments  # [F] of the inputs
    baseline: Array  # [] b
    optimiser: optax.OptState
    count: Array  # [] int32, updates so far
    hyper: Hyper


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


def make(config: Config, env: Environment) -> RewardModel:
    """Bind the discriminator to an environment's observations and actions."""
    mlp.check(config.hidden, config.activation, config.precision)
    for kind, name, known in (
        ("reward inputs", config.inputs, features.NAMES),
        ("reward output", config.output, outputs.FORMS),
        ("reward normalisation", config.normalise, ("expert", "pooled")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    levels.check(config.baseline)
    fields_at_least(1, config, "batch_size", "schedule_updates")
    hypers = [field.name for field in dataclasses.fields(Hyper)]  # pyright: ignore[reportArgumentType]
    fields_at_least(0, config, "absorbing_steps", "deviation_floor", *hypers)
    fields_are_fractions(config, "baseline_quantile", "expert_quantile")
    fields_are_fractions(config, "averaging", of_less_than_all=True)
    module = MLP(
        config.hidden, 1, config.activation, output_gain=2.0**0.5, precision=config.precision
    )
    form, spec, steps = outputs.FORMS[config.output], env.spec, config.absorbing_steps
    level = functools.partial(levels.track, config.baseline)

    def units(moments: normalise.Moments) -> tuple[Array, Array]:
        return features.units(moments, floor=config.deviation_floor)

    def inputs_of(mean: Array, std: Array, transitions: Transition) -> Array:
        """What the network sees, `[..., F]`, in standardised units."""
        inputs = features.select(config.inputs, spec, transitions)
        inputs = features.standardise(mean, std, inputs)
        return absorbing.extend(inputs, transitions) if steps else inputs

    def output(network: PyTree, inputs: Array) -> Array:
        return apply(module, network, inputs).squeeze(-1)

    def fitted(network: PyTree, singular: PyTree, inputs: Array) -> Array:
        """f `[...]` of the network's inputs `[..., F]`."""
        network = spectral.normalise(network, singular) if config.spectral else network
        return form.fitted(output(network, inputs))

    def init(key: Key, demos: Demonstrations) -> State:
        found = moments_of(demos, lambda rows: features.select(config.inputs, spec, rows))
        first = transitions(demos, demos.rows[:1])
        network = module.init(key, inputs_of(*units(found), first))
        hyper = traced(Hyper, config)
        return State(
            network=network,
            average=network,
            singular=spectral.init(network) if config.spectral else (),
            moments=found,
            baseline=jnp.zeros(()),
            optimiser=optimiser(hyper).init(network),
            count=jnp.zeros((), jnp.int32),
            hyper=hyper,
        )

    def params(state: State) -> PyTree:
        mean, std = units(state.moments)
        network = state.average
        if config.spectral:
            network = spectral.normalise(network, state.singular)
        return {"network": network, "mean": mean, "std": std, "baseline": state.baseline}

    def score(params: PyTree, transitions: Transition) -> Array:
        def paid(inputs: Array) -> Array:
            return form.paid(output(params["network"], inputs)) - params["baseline"]

        rewards = paid(inputs_of(params["mean"], params["std"], transitions))
        if not steps:
            return rewards
        after = paid(absorbing.state(params["mean"].shape[-1]))
        return absorbing.continued(rewards, transitions, after, steps)

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        keys, hyper, moments = jax.random.split(key, 5), state.hyper, state.moments
        if config.normalise == "pooled":
            both = [features.select(config.inputs, spec, rows) for rows in (agent, expert)]
            moments = normalise.update(moments, jnp.concatenate(both))
        exact = [inputs_of(*units(moments), rows) for rows in (agent, expert)]
        if steps:
            exact = [
                absorbing.visit(key, inputs, rows.terminated, steps)
                for key, inputs, rows in zip(keys[3:], exact, (agent, expert), strict=True)
            ]
        # The indicator of the absorbing state is no observation: it is never blurred.
        observed = jnp.arange(exact[0].shape[-1])[None] < moments.mean.shape[-1]
        agent_inputs, expert_inputs = (
            inputs + hyper.input_noise * observed * jax.random.normal(key, inputs.shape)
            for key, inputs in zip(keys[1:3], exact, strict=True)
        )
        weights = jax.random.uniform(keys[0], (config.batch_size, 1))
        mixed = weights * expert_inputs + (1.0 - weights) * agent_inputs
        singular = spectral.follow(state.network, state.singular) if config.spectral else ()
        grads, metrics = jax.grad(loss, argnums=1, has_aux=True)(
            lambda network, inputs: fitted(network, singular, inputs),
            state.network,
            agent_inputs,
            expert_inputs,
            mixed,
            hyper,
            one_sided=config.one_sided,
        )
        rate = schedules.rate(
            config.schedule,
            hyper.learning_rate,
            hyper.final_learning_rate,
            config.schedule_updates,
            state.count,
        )
        step = {"rate": rate, "decay": hyper.weight_decay}
        network, opt_state = descend(
            optimiser(hyper), grads, state.optimiser, state.network, **step
        )
        keep = hyper.averaging
        # As policies are paid: without noise.
        agent_paid, expert_paid = (form.paid(output(params(state)["network"], x)) for x in exact)
        bound = jnp.quantile(expert_paid, hyper.expert_quantile)
        state = dataclasses.replace(
            state,
            network=network,
            average=jax.tree.map(lambda a, p: keep * a + (1.0 - keep) * p, state.average, network),
            singular=singular,
            moments=moments,
            baseline=level(state.baseline, agent_paid, state.count, hyper.baseline_quantile, bound),
            optimiser=opt_state,
            count=state.count + 1,
        )
        return state, metrics | {"reward/learning_rate": rate}

    return RewardModel(
        init=init,
        params=params,
        score=memoryless(score, pays_absorbing=steps > 0),
        update=update,
        batch_size=config.batch_size,
    )


def optimiser(hyper: Hyper) -> optax.GradientTransformation:
    """Adam, on gradients that may be optimistic; without the step size, which `update` applies."""
    return optax.chain(
        optax.scale_by_optimistic_gradient(1.0, hyper.optimism), optax.scale_by_adam(eps=1e-5)
    )
