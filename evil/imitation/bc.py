"""Behavioural cloning: supervised learning of the expert's actions, without an environment.

    nll    min_θ  -E log π_θ(u | s),   u the latent that yields the demonstrated action
    mse    min_θ   E |a - a_θ(s)|²,    a_θ the action of the mode, averaged over components

Part of the demonstrations is held out. The policy is the one that did best there so far, and
training stops, inside the compiled program, when it has not improved for a while.

An expert whose samples are clipped to the bounds plays many actions exactly there, and what it
sampled beyond is lost. Their latent is taken to be the bound itself: an honest likelihood inside,
a slight pull inwards and a smaller deviation outside. For `tanh_gaussian` such latents are near
±7, far from all others; prefer `gaussian`, or mse.

Reference: pomerleau1991bc
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise
from evil.demonstrations import demonstrations
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import at_least, fields_are_fractions
from evil.imitation import cloning
from evil.learners import policies
from evil.networks import actor_critic
from evil.pytrees import pytree, select, traced
from evil.seams import Algorithm, Environment, Key, Metrics, Policy, PyTree, Spec, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Behavioural cloning."""

    network: actor_critic.Config = actor_critic.Config()
    """The actor; its critic is neither used nor changed."""
    loss: Literal["nll", "mse"] = "nll"
    """Likelihood, or the mode's squared error: vectors only, and a policy that never samples."""
    batch_size: int = 256
    """Steps of the demonstrations in one gradient update, drawn with replacement."""
    updates_per_iteration: int = 100
    """Gradient updates in one iteration, which ends with one validation."""
    learning_rate: float = 1e-3
    """AdamW's step size. Traced."""
    weight_decay: float = 1e-4
    """AdamW's decay of the actor's weight matrices per unit of step size. Traced."""
    validation_fraction: float = 0.1
    """Fraction held out: whole episodes where that rounds to one or more, else single steps; with 0
    all steps train and judge."""
    patience: int = 20
    """Validations in a row without a new best after which training stops."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    learning_rate: Array
    weight_decay: Array


@pytree
class State:
    """The clone between iterations; once stopped, nothing of it changes any more."""

    network: PyTree
    optimiser: optax.OptState
    best_network: PyTree  # as of the best validation, the initial one included
    obs_moments: normalise.Moments
    held_out: Array  # [N] bool, over the demonstrations' `rows`
    failures: Array  # [] int32: validations since the best one
    stopped: Array  # [] bool
    metrics: Metrics  # of the last iteration that trained
    hyper: Hyper
    key: Key


def hold_out(key: Key, demos: Demonstrations, fraction: float) -> Array:
    """Which of `demos.rows` are for validation, at random: `[N]`, False for padding.

    Whole episodes measure generalisation, neighbouring steps hardly do; but of a few episodes no
    small fraction can be spared. At least one step is left for training.
    """
    key_episodes, key_steps = jax.random.split(key)
    in_use = jnp.arange(demos.rows.shape[0]) < demos.count
    episode = demos.rows // demos.reward.shape[1]
    seen = jnp.zeros(demos.length.shape[0], jnp.int32).at[episode].add(in_use.astype(jnp.int32))
    episodes = _pick(key_episodes, seen > 0, fraction)
    return jnp.where(episodes.any(), episodes[episode] & in_use, _pick(key_steps, in_use, fraction))


def training(demos: Demonstrations, held_out: Array) -> Demonstrations:
    """The demonstrations without the rows held out, which move behind `count`."""
    mask = (jnp.arange(demos.rows.shape[0]) < demos.count) & ~held_out
    order = jnp.argsort(~mask, stable=True)
    return dataclasses.replace(demos, rows=demos.rows[order], count=mask.sum(dtype=jnp.int32))


def obs_moments(demos: Demonstrations) -> normalise.Moments:
    """Moments of the observations in use, held out or not: the policy meets them all."""
    return cloning.moments(demonstrations.moments_of(demos, lambda steps: steps.obs))


def optimiser(hyper: Hyper) -> optax.GradientTransformation:
    """AdamW on the actor, as in `evil.imitation.cloning`."""
    return cloning.optimiser(hyper.learning_rate, hyper.weight_decay)


def make(config: Config, env: Environment) -> Algorithm:
    """Bind cloning to an environment's spaces; `data` of the algorithm is `Demonstrations`."""
    _check(config, env.spec)
    module = actor_critic.make(config.network, env.spec)
    greedy = policies.make(config.network, module, deterministic=True)
    # Squared errors leave the log standard deviation at its initial value, which means nothing.
    stochastic = policies.make(config.network, module, deterministic=config.loss == "mse")

    def losses(network: PyTree, moments: normalise.Moments, steps: Transition) -> Array:
        return cloning.losses(network, module, env.spec, config, moments, steps.obs, steps.action)

    def validate(
        network: PyTree, moments: normalise.Moments, demos: Demonstrations, held_out: Array
    ) -> Array:
        steps = demonstrations.transitions(demos, demos.rows)
        each = losses(network, moments, steps)
        in_use = jnp.arange(demos.rows.shape[0]) < demos.count
        mask = jnp.where(held_out.any(), held_out, in_use)
        return jnp.where(mask, each, 0.0).sum() / mask.sum()

    def init(key: Key, demos: Demonstrations) -> State:
        demonstrations.actions_for(demos, "cloning")
        key_network, key_split, key = jax.random.split(key, 3)
        hyper = traced(Hyper, config)
        network = module.init(key_network, jnp.zeros((1, *env.spec.obs_shape)))
        moments = obs_moments(demos)
        held_out = hold_out(key_split, demos, config.validation_fraction)
        first = validate(network, moments, demos, held_out)
        return State(
            network=network,
            optimiser=optimiser(hyper).init(network),
            best_network=network,
            obs_moments=moments,
            held_out=held_out,
            failures=jnp.zeros((), jnp.int32),
            stopped=jnp.zeros((), bool),
            metrics=_metrics(first, first, first, jnp.zeros((), bool)),
            hyper=hyper,
            key=key,
        )

    def fit(state: State, demos: Demonstrations, key: Key) -> tuple[PyTree, PyTree, Array]:
        """Network and optimiser after the updates of one iteration, and their mean loss."""

        def loss(network: PyTree, key: Key) -> Array:
            steps = demonstrations.sample(key, demos, config.batch_size)
            return losses(network, state.obs_moments, steps).mean()

        return cloning.fit(
            key,
            optimiser(state.hyper),
            state.network,
            state.optimiser,
            loss,
            config.updates_per_iteration,
        )

    def step(state: State, demos: Demonstrations) -> tuple[State, Metrics]:
        key_fit, key = jax.random.split(state.key)
        network, opt_state, value = fit(state, training(demos, state.held_out), key_fit)
        validation = validate(network, state.obs_moments, demos, state.held_out)
        best = state.metrics["clone/best_validation_loss"]
        improved = validation < best
        failures = jnp.where(improved, 0, state.failures + 1)
        stopped = failures >= config.patience
        trained = dataclasses.replace(
            state,
            network=network,
            optimiser=opt_state,
            best_network=select(improved, network, state.best_network),
            failures=failures,
            stopped=stopped,
            metrics=_metrics(value, validation, jnp.where(improved, validation, best), stopped),
            key=key,
        )
        state = select(state.stopped, state, trained)
        return state, state.metrics

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        params = {"network": state.best_network, "obs_moments": state.obs_moments}
        return dataclasses.replace(greedy if deterministic else stochastic, params=params)

    return Algorithm(
        init=init, step=step, policy=policy, reward=lambda state: (), steps_per_iteration=0
    )


def _check(config: Config, spec: Spec) -> None:
    cloning.check(config, spec, cloning.OF_ACTIONS)
    fields_are_fractions(config, "validation_fraction", of_less_than_all=True)
    at_least(
        1,
        patience=config.patience,
        batch_size=config.batch_size,
        updates_per_iteration=config.updates_per_iteration,
    )


def _pick(key: Key, candidates: Array, fraction: float) -> Array:
    """A random `fraction` of the True entries, rounded, but never all of them."""
    number = candidates.sum()
    wanted = jnp.minimum(jnp.floor(number * fraction + 0.5), number - 1)
    lots = jnp.where(candidates, jax.random.uniform(key, candidates.shape), jnp.inf)
    return candidates & (jnp.argsort(jnp.argsort(lots)) < wanted)


def _metrics(value: Array, validation: Array, best: Array, stopped: Array) -> Metrics:
    return {
        "clone/loss": value,
        "clone/validation_loss": validation,
        "clone/best_validation_loss": best,
        "clone/stopped": stopped.astype(jnp.float32),
    }
