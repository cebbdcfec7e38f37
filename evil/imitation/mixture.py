"""Playing a mixture of an expert and a learner, while the expert labels all that is seen.

Which of them acts is a coin, tossed at every step or at every start of an episode.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.environments import episodes
from evil.learners import rollout
from evil.pytrees import pytree, select
from evil.seams import Environment, Key, Policy, PyTree


@pytree
class Seen:
    """What came before the mixture; every leaf is `[T, B, ...]`."""

    obs: Array
    label: Array  # the action that the expert would take, and took where it acted
    action: Array  # the action that was taken
    is_first: Array  # bool: whether the step belongs to its environment's first episode


@pytree
class Played:
    """T steps from fresh starts, T the time limit."""

    seen: Seen
    returns: Array  # [A] true returns of episodes that the learner played alone
    lengths: Array  # [A] float32, likewise


def play(
    env: Environment,
    expert: Policy,
    learner: Policy,
    key: Key,
    chance: Array,
    physics: PyTree,
    *,
    num_envs: int,
    num_alone: int,
    num_starts: int,
    whole_trajectories: bool,
) -> Played:
    """Play `num_envs` environments in which the expert acts with probability `chance []`.

    `num_alone` more, in which it never does, show what the learner is worth. Whenever an episode
    ends before the time limit the next one begins. The learner has no memory; the expert may have.
    """
    columns = num_envs + num_alone
    key_worlds, key_steps = jax.random.split(key)
    worlds = episodes.init(env, key_worlds, physics, columns)
    chances = jnp.where(jnp.arange(columns) < num_envs, chance, 0.0)
    fresh = {
        "expert": expert.memory(columns),
        "expert_acts": jnp.zeros(columns, bool),
        "is_new": jnp.ones(columns, bool),
    }

    def actor(obs: Array, key: Key, memory: PyTree) -> tuple[Array, Array, PyTree]:
        key_expert, key_learner, key_coin = jax.random.split(key, 3)
        label, carry = expert.act(expert.params, obs, key_expert, memory["expert"])
        action, _ = learner.act(learner.params, obs, key_learner, ())
        expert_acts = jax.random.bernoulli(key_coin, chances)
        if whole_trajectories:
            expert_acts = jnp.where(memory["is_new"], expert_acts, memory["expert_acts"])
        not_new = jnp.zeros(columns, bool)
        memory = {"expert": carry, "expert_acts": expert_acts, "is_new": not_new}
        return label, select(expert_acts, label, action), memory

    _, _, steps, labels = rollout.collect(
        env,
        actor,
        key_steps,
        worlds,
        fresh,
        physics,
        env.spec.time_limit,
        num_starts=num_starts,
        fresh_memory=fresh,
    )
    ends = (steps.terminated | steps.truncated).astype(jnp.int32)
    is_first = jnp.cumsum(ends, axis=0) - ends == 0
    seen = Seen(obs=steps.obs, label=labels, action=steps.action, is_first=is_first)
    alone = is_first[:, num_envs:]
    return Played(
        seen=jax.tree.map(lambda x: x[:, :num_envs], seen),
        returns=jnp.where(alone, steps.reward[:, num_envs:], 0.0).sum(0),
        lengths=alone.sum(0).astype(jnp.float32),
    )
