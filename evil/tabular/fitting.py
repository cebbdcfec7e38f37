"""What maximum entropy, causal entropy and relative entropy have in common: one convex loss.

    L(θ) = J(r_θ) - ⟨r_θ, μ_E⟩ + ε |θ|₁ + λ/2 |θ|²

μ_E are the expert's mean visit counts, J the logarithm of how much a world full of the reward is
worth, and its gradient the visit counts that the reward expects. So the gradient of the loss is the
difference of the two, and zero where the reward explains what was demonstrated. The methods differ
in J: `Method` is what each brings along.

Episodes begin as the demonstrated ones did: were J's first states drawn from another distribution,
even from the true one, no reward could explain the difference, and the loss would have no minimum.
What chance did to the demonstrations of a stochastic world has the same effect, if a small one: a
penalty, or stopping in time, is for that.

A reward enters as a table `[S, A]`, so whatever makes one, a network for example, is differentiated
through. Returns are exact sums over states under the true reward.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil.errors import UserError, at_least, unknown
from evil.pytrees import pytree, traced
from evil.seams import Algorithm, Key, Metrics, Policy, PyTree
from evil.tabular import distances, occupancy, optimisers, policies, rewards, trajectories
from evil.tabular.mdp import MDP
from evil.tabular.trajectories import Trajectories
from evil.tabular.worlds import World


@dataclasses.dataclass(frozen=True)
class Config:
    """How a reward is fitted, whatever the method."""

    reward: rewards.Config = rewards.Config()
    """The form of the reward."""
    optimiser: optimisers.Config = optimisers.Config()
    """The method of descent."""
    learning_rate: float = 0.1
    """Step size, but of L-BFGS, which finds its own. Traced."""
    discount: float = 1.0
    """Discount γ of visits and of plans. Traced."""
    penalty: float = 0.0
    """λ, weight of the parameters' squares. Traced."""
    updates_per_iteration: int = 10
    """Steps of descent in one iteration, which ends with one exact evaluation."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    learning_rate: Array
    discount: Array
    penalty: Array


@pytree
class Task:
    """The data of an algorithm: a world, and what was demonstrated in it.

    A `vmap` may go over worlds, over demonstrations, or over how many of them count.
    """

    mdp: MDP
    demos: Trajectories


@pytree
class State:
    """A reward between iterations."""

    params: PyTree
    optimiser: PyTree
    mdp: MDP
    expert: dict[str, Array]  # of the demonstrations: `start [S]`, `visits [S, A]`, and more
    hyper: Hyper
    key: Key


@dataclasses.dataclass(frozen=True)
class Method:
    """What tells one method from another."""

    observe: Callable[[Task, Array], dict[str, Array]]  # (task, discount) -> State.expert
    draw: Callable[[Key, State], PyTree]  # samples that one update needs, or ()
    potential: Callable[[MDP, Array, PyTree, Array], Array]
    # (world, reward [S, A], samples, discount) -> J
    policy: Callable[[MDP, Array, Array], Array]  # (world, reward, discount) -> [T, S, A] or [S, A]
    horizon: int | None  # of the policy; None: it does not depend on time
    tolerance: float = 0.0  # ε, by which each visit count may be missed
    steps_per_update: int = 0  # of the environment


def make(config: Config, world: World, method: Method, reward: rewards.Reward | None) -> Algorithm:
    """Bind a method to a world; `data` of the algorithm is a `Task`.

    `reward` replaces the form that the config names, for a module of one's own.
    """
    _check(config)
    shape = world.mdp.num_states, world.mdp.num_actions
    form = reward or rewards.make(config.reward, *shape, world.features)

    def init(key: Key, task: Task) -> State:
        key_reward, key = jax.random.split(key)
        hyper = traced(Hyper, config)
        params = form.init(key_reward)
        return State(
            params=params,
            optimiser=optimisers.init(config.optimiser, params),
            mdp=jax.tree.map(jnp.copy, task.mdp),  # a state may be donated, its data may not
            expert=method.observe(task, hyper.discount)
            | {"start": trajectories.first_states(task.demos, task.mdp.num_states)},
            hyper=hyper,
            key=key,
        )

    def loss(params: PyTree, state: State, samples: PyTree) -> Array:
        table = form.table(params)
        value = method.potential(begun(state), table, samples, state.hyper.discount)
        value = value - jnp.sum(table * state.expert["visits"])
        value = value + 0.5 * state.hyper.penalty * optax.tree.norm(params, squared=True)
        if method.tolerance:
            value = value + method.tolerance * optax.tree.norm(params, ord=1)
        return value

    def update(state: State, _: None) -> tuple[State, Metrics]:
        key_draw, key = jax.random.split(state.key)
        samples = method.draw(key_draw, state)
        params, optimiser, value, gradient = optimisers.descend(
            config.optimiser,
            state.hyper.learning_rate,
            lambda params: loss(params, state, samples),
            state.params,
            state.optimiser,
        )
        metrics = {
            "reward/loss": value,
            "reward/largest_gradient": optax.tree.norm(gradient, ord=jnp.inf),
        }
        return dataclasses.replace(state, params=params, optimiser=optimiser, key=key), metrics

    def step(state: State, task: Task) -> tuple[State, Metrics]:
        del task  # `init` has read it
        state, metrics = jax.lax.scan(update, state, length=config.updates_per_iteration)
        metrics = jax.tree.map(lambda x: x[-1], metrics)
        return state, metrics | judged(state, form.table(state.params), planned(state), world)

    def planned(state: State) -> Array:
        return method.policy(state.mdp, form.table(state.params), state.hyper.discount)

    templates = {
        mode: policies.make(jnp.zeros(0), world.state_of, method.horizon, deterministic=mode)
        for mode in (False, True)
    }

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        return dataclasses.replace(templates[deterministic], params={"table": planned(state)})

    return Algorithm(
        init=init,
        step=step,
        policy=policy,
        reward=lambda state: form.table(state.params),
        steps_per_iteration=method.steps_per_update * config.updates_per_iteration,
    )


def begun(state: State) -> MDP:
    """The world, with episodes that begin where the demonstrated ones did."""
    return dataclasses.replace(state.mdp, start=state.expert["start"])


def judged(state: State, table: Array, policy: Array, world: World) -> Metrics:
    """What policy and reward are worth, in truth."""
    expected = occupancy.prospects(state.mdp, policy, world.horizon)
    return {
        "agent/return": expected.value,
        "agent/length": expected.length,
        "agent/arrival": expected.arrival,
        "reward/pearson_distance": distances.pearson(state.mdp, table, state.mdp.reward),
        "reward/epic_distance": distances.epic(state.mdp, table, state.mdp.reward),
    }


def visits(task: Task, discount: Array) -> dict[str, Array]:
    """`Method.observe` of methods that look at visit counts alone."""
    return {"visits": trajectories.visits(task.demos, task.mdp, discount=discount)}


def nothing(key: Key, state: State) -> tuple[Any, ...]:
    """`Method.draw` of methods that compute instead of sampling."""
    del key, state
    return ()


def _check(config: Config) -> None:
    at_least(1, updates_per_iteration=config.updates_per_iteration)
    at_least(0, learning_rate=config.learning_rate, penalty=config.penalty)
    if config.optimiser.name not in optimisers.NAMES:
        raise unknown("optimiser", config.optimiser.name, optimisers.NAMES)
    if config.optimiser.name == "exponentiated":
        positive = config.reward.form == "table" and config.reward.level > 0.0
        if not positive:
            raise UserError(
                "exponentiated gradients need a table that begins positive: expected "
                f"reward.level above 0, found a {config.reward.form} from {config.reward.level:g}."
            )
