"""Acting in a batch of episodes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from evil.environments import episodes
from evil.pytrees import select
from evil.seams import Environment, Key, PyTree, Spec, Transition

# (obs [B, ...], key, carry) -> latent, action as applied, carry
Actor = Callable[[Array, Key, PyTree], tuple[PyTree, Array, PyTree]]


def collect(
    env: Environment,
    actor: Actor,
    key: Key,
    state: episodes.State,
    memory: PyTree,
    physics: PyTree,
    num_steps: int,
    *,
    num_starts: int,
    restart_rate: Array | float = 0.0,
    fresh_memory: PyTree = (),
) -> tuple[episodes.State, PyTree, Transition, PyTree]:
    """Act for `num_steps` in every episode, with a bank of `num_starts` freshly drawn starts.

    Returns the episodes, the policy's memory, transitions `[T, B]` and latents `[T, B, ...]`.
    Where an episode ended, the memory starts again from `fresh_memory`.
    """
    key_bank, key_steps = jax.random.split(key)
    bank = episodes.starts(env, key_bank, physics, num_starts)

    def advance(carry: PyTree, key: Key) -> tuple[PyTree, tuple[Transition, PyTree]]:
        state, memory = carry
        key_action, key_world = jax.random.split(key)
        latent, action, memory = actor(state.obs, key_action, memory)
        following, step = episodes.step(env, key_world, state, action, physics, bank, restart_rate)
        transition = episodes.transition(state.obs, action, step)
        memory = select(step.terminated | step.truncated, fresh_memory, memory)
        return (following, memory), (transition, latent)

    keys = jax.random.split(key_steps, num_steps)
    (state, memory), (transitions, latents) = jax.lax.scan(advance, (state, memory), keys)
    return state, memory, transitions, latents


def blank(spec: Spec) -> Transition:
    """One step of the shapes and types that `collect` gives, without leading axes."""
    obs = jnp.zeros(spec.obs_shape)
    no = jnp.zeros((), bool)
    action = jnp.zeros((), jnp.int32) if spec.is_discrete else jnp.zeros(spec.action_size)
    return Transition(
        obs=obs, action=action, next_obs=obs, reward=jnp.zeros(()), terminated=no, truncated=no
    )
