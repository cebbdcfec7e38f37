"""How far apart two rewards are, whatever potential shaping and scale separate them.

    C(r)(s, a, s') = r(s, a, s') + E [γ r(s', A, S') - r(s, A, S') - γ r(S, A, S')]
    D(r₁, r₂)      = sqrt((1 - corr(C(r₁), C(r₂))) / 2)                                ∈ [0, 1]

The canonical form C removes every potential-based shaping, the correlation every scale and
offset. S and S' are independent draws from a coverage distribution of states, A is uniform over
actions. The environment's own reward can be asked only about successors that its dynamics produce:
it is taken as a function of state and action, r(s, A).

Reference: gleave2021epic
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from evil.environments import episodes
from evil.evaluation.episodes import random_policy
from evil.pytrees import merge_leading, pytree
from evil.seams import Environment, Key, Policy, PyTree, Transition


@pytree
class Probe:
    """N steps, and K random actions tried in the state before and in the state after each.

    Of a trial, `reward` is the environment's for that action, but `next_obs` is a random state of
    the coverage, the same K for all N.
    """

    steps: Transition  # [N]
    before: Transition  # [N, K]
    after: Transition  # [N, K]


def pearson_distance(x: Array, y: Array) -> Array:
    """sqrt((1 - correlation) / 2) of two samples `[N]`; a constant correlates with nothing."""
    x, y = x - x.mean(), y - y.mean()
    scale = jnp.sqrt(jnp.mean(x * x) * jnp.mean(y * y))
    correlation = jnp.where(scale > 1e-12, jnp.mean(x * y) / jnp.maximum(scale, 1e-12), 0.0)
    return jnp.sqrt(jnp.clip((1.0 - correlation) / 2.0, 0.0, 1.0))


def canonical(steps: Array, before: Array, after: Array, *, discount: Array | float) -> Array:
    """C(r) `[N]` from the rewards of a probe's steps `[N]` and of its trials `[N, K]`."""
    before, after = before.mean(axis=-1), after.mean(axis=-1)
    return steps + discount * after - before - discount * before.mean()


def epic(
    first: Callable[[Transition], Array],
    second: Callable[[Transition], Array],
    probe: Probe,
    *,
    discount: Array | float,
) -> Array:
    """Distance `[]` of two rewards, each a function of transitions `[...]`."""

    def form(reward: Callable[[Transition], Array]) -> Array:
        parts = reward(probe.steps), reward(probe.before), reward(probe.after)
        return canonical(*parts, discount=discount)

    return pearson_distance(form(first), form(second))


def explore(
    env: Environment,
    policies: Sequence[Policy],
    key: Key,
    *,
    num_worlds: int = 64,
    num_steps: int = 64,
    num_actions: int = 8,
) -> Probe:
    """A probe of the states where some policies go, and random actions: in equal parts.

    Each contributes `num_steps` steps in `num_worlds` worlds.
    """
    wanderers = (*policies, random_policy(env))
    key_before, key_after, key_elsewhere, key = jax.random.split(key, 4)
    keys = jax.random.split(key, len(wanderers))
    parts = [
        _walk(env, policy, key, num_worlds, num_steps)
        for policy, key in zip(wanderers, keys, strict=True)
    ]
    worlds, steps, successors = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def try_actions(where: tuple[PyTree, Array, Key]) -> Transition:
        world, obs, key = where
        key_act, key_step = jax.random.split(key)
        many = jnp.broadcast_to(obs, (num_actions, *obs.shape))
        actions, _ = random_policy(env).act((), many, key_act, ())
        keys = jax.random.split(key_step, num_actions)
        _, outcome = jax.vmap(env.step, (0, None, 0, None))(keys, world, actions, env.params)
        return episodes.transition(many, actions, outcome)

    places = [
        (worlds, steps.obs, jax.random.split(key_before, steps.obs.shape[0])),
        (successors, steps.next_obs, jax.random.split(key_after, steps.obs.shape[0])),
    ]
    both = jax.tree.map(lambda *x: jnp.stack(x), *places)
    trials = jax.lax.map(jax.vmap(try_actions), both)
    elsewhere = jax.random.choice(key_elsewhere, steps.next_obs, (num_actions,))
    trials = dataclasses.replace(
        trials,
        next_obs=jnp.broadcast_to(elsewhere, trials.next_obs.shape),
        terminated=jnp.zeros_like(trials.terminated),
    )
    before, after = (jax.tree.map(lambda x, i=i: x[i], trials) for i in (0, 1))
    return Probe(steps=steps, before=before, after=after)


def _walk(
    env: Environment, policy: Policy, key: Key, num_worlds: int, num_steps: int
) -> tuple[PyTree, Transition, PyTree]:
    """Worlds `[N]`, the steps of a policy in them, and the worlds after those steps."""
    key_init, key_bank, key_steps = jax.random.split(key, 3)
    state = episodes.init(env, key_init, env.params, num_worlds)
    bank = episodes.starts(env, key_bank, env.params, num_worlds)

    def advance(carry: PyTree, key: Key) -> tuple[PyTree, PyTree]:
        state, memory = carry
        key_act, key_world = jax.random.split(key)
        action, memory = policy.act(policy.params, state.obs, key_act, memory)
        # The true successors, as they are before `episodes.step` starts some of them anew.
        keys = jax.random.split(key_world, num_worlds)
        successors, outcome = jax.vmap(env.step, (0, 0, 0, None))(
            keys, state.world, action, env.params
        )
        steps = episodes.transition(state.obs, action, outcome)
        following, _ = episodes.step(env, key_world, state, action, env.params, bank)
        return (following, memory), (state.world, steps, successors)

    carry = (state, policy.memory(num_worlds))
    _, visited = jax.lax.scan(advance, carry, jax.random.split(key_steps, num_steps))
    return merge_leading(visited)
