"""One episode with everything that a picture of it needs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.pytrees import is_finite, pytree
from evil.seams import Environment, Key, Policy, PyTree


@pytree
class Recording:
    """An episode, padded to the environment's time limit T until `cut`."""

    obs: Array  # [T+1, ...]
    reward: Array  # [T]
    links: tuple[Array, ...]  # positions [T+1, L, 3] and quaternions [T+1, L, 4]; () without links
    length: Array  # [] int32: steps until the episode ended


def record(env: Environment, policy: Policy, key: Key) -> Recording:
    """Play one full episode, which ends where its numbers stop being finite at the latest."""
    key_start, key_steps = jax.random.split(key)
    world, obs = env.reset(key_start, env.params)

    def advance(carry: PyTree, key: Key) -> tuple[PyTree, PyTree]:
        world, obs, memory, alive, length = carry
        key_action, key_world = jax.random.split(key)
        action, memory = policy.act(policy.params, obs[None], key_action, memory)
        world, step = env.step(key_world, world, action[0], env.params)
        counts = alive & is_finite((step.next_obs, step.reward))
        carry = (world, step.next_obs, memory, counts & ~step.terminated, length + counts)
        return carry, (step.next_obs, step.reward, links(world))

    length = jnp.zeros((), jnp.int32)
    carry = (world, obs, policy.memory(1), jnp.ones((), bool), length)
    keys = jax.random.split(key_steps, env.spec.time_limit)
    (*_, length), (later, reward, moved) = jax.lax.scan(advance, carry, keys)
    whole = jax.tree.map(
        lambda start, rest: jnp.concatenate([start[None], rest]),
        (obs, links(world)),
        (later, moved),
    )
    return Recording(obs=whole[0], reward=reward, links=whole[1], length=length)


def links(world: PyTree) -> tuple[Array, ...]:
    """Where the links of a Brax state are, `[L, 3]` and `[L, 4]`; nothing of any other state."""
    physics = getattr(world, "pipeline_state", None)
    return () if physics is None else (physics.x.pos, physics.x.rot)


def cut(recording: Recording) -> Recording:
    """A recording on the host, without what comes after the end."""
    length = int(recording.length)
    host = jax.tree.map(np.asarray, recording)
    return dataclasses.replace(
        host,
        obs=host.obs[: length + 1],
        reward=host.reward[:length],
        links=tuple(x[: length + 1] for x in host.links),
    )
