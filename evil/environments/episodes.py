"""A batch of worlds that live through one episode after another.

The one place that knows time limits and resets. Every step keeps the true successor
(`Step.next_obs`), separates `terminated` from `truncated`, and only then starts a fresh episode
where one ended. Fresh starts come from a bank that `starts` draws, once per rollout: a reset in
every step would cost as much as the physics, and one cached start would be the same for ever.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil import parallel
from evil.parallel import Parts
from evil.pytrees import is_finite, pytree, select, take
from evil.seams import Environment, Key, Metrics, PyTree, Spec, Step, Transition


@pytree
class State:
    """B episodes in progress, and statistics of those that ended."""

    world: PyTree  # [B, ...] states of the environment
    obs: Array  # [B, ...] what to act upon next: after a reset, where one happened
    age: Array  # [B] int32, steps since the episode began
    episode_return: Array  # [B] so far, of the environment's own reward
    last_return: Array  # [B] of the most recently completed episode
    last_length: Array  # [B] int32, likewise
    has_completed: Array  # [B] bool, whether there is one that counts


def parts(spec: Spec, num_envs: int) -> Parts:
    """What devices may share of stepping so many worlds.

    All of them where there is physics to simulate; elsewhere a step is done before its message.
    """
    return Parts(worlds=num_envs if spec.backend else 1)


def starts(env: Environment, key: Key, params: PyTree, count: int) -> tuple[PyTree, Array]:
    """A bank of `count` fresh states and their observations."""
    return jax.vmap(env.reset, (0, None))(jax.random.split(key, count), params)


def init(env: Environment, key: Key, params: PyTree, num_envs: int) -> State:
    """Start `num_envs` episodes."""
    world, obs = starts(env, key, params, num_envs)
    return State(
        world=world,
        obs=obs,
        age=jnp.zeros(num_envs, jnp.int32),
        episode_return=jnp.zeros(num_envs),
        last_return=jnp.zeros(num_envs),
        last_length=jnp.zeros(num_envs, jnp.int32),
        has_completed=jnp.zeros(num_envs, bool),
    )


def step(
    env: Environment,
    key: Key,
    state: State,
    action: Array,
    params: PyTree,
    bank: tuple[PyTree, Array],
    restart_rate: Array | float = 0.0,
) -> tuple[State, Step]:
    """Advance every episode by one step; those that end start anew from `bank`.

    Every other environment, if `restart_rate` is above 0, practises beginnings: it is cut as
    truncated with that probability per step. Its episodes are not among the completed ones, which
    would otherwise be the short ones above all.

    A world whose observation or reward stops being finite has diverged: its episode is cut as
    truncated at the last finite observation, with reward zero, and starts anew.
    """
    batch = state.obs.shape[0]
    key_step, key_start, key_cut = jax.random.split(key, 3)
    keys = jax.random.split(key_step, batch)
    advance = parallel.shared_vmap(env.step, (0, 0, 0, None), "worlds")
    world, outcome = advance(keys, state.world, action, params)

    sound = jax.vmap(is_finite)((outcome.next_obs, outcome.reward))
    age = state.age + 1
    terminated = outcome.terminated & sound
    over = terminated | (age >= env.spec.time_limit) | ~sound
    practises = (jnp.arange(batch) % 2 == 1) & (restart_rate > 0.0)
    cut = practises & jax.random.bernoulli(key_cut, restart_rate, (batch,))
    outcome = Step(
        next_obs=select(sound, outcome.next_obs, state.obs),
        reward=jnp.where(sound, outcome.reward, 0.0),
        terminated=terminated,
        truncated=~terminated & (over | cut),
    )
    done = outcome.terminated | outcome.truncated
    episode_return = state.episode_return + outcome.reward

    chosen = jax.random.randint(key_start, (batch,), 0, bank[1].shape[0])
    world, obs = select(done, take(bank, chosen), (world, outcome.next_obs))
    state = dataclasses.replace(
        state,
        world=world,
        obs=obs,
        age=jnp.where(done, 0, age),
        episode_return=jnp.where(done, 0.0, episode_return),
        last_return=jnp.where(done, episode_return, state.last_return),
        last_length=jnp.where(done, age, state.last_length),
        has_completed=(state.has_completed | done) & ~practises,
    )
    return state, outcome


def transition(obs: Array, action: Array, step: Step) -> Transition:
    """What a reward sees of acting upon `obs`."""
    return Transition(
        obs=obs,
        action=action,
        next_obs=step.next_obs,
        reward=step.reward,
        terminated=step.terminated,
        truncated=step.truncated,
    )


def statistics(state: State) -> Metrics:
    """Mean return and length of each environment's last completed episode; 0 before any."""
    count = jnp.maximum(state.has_completed.sum(), 1)
    mean_return = jnp.sum(state.last_return, where=state.has_completed) / count
    mean_length = jnp.sum(state.last_length, where=state.has_completed) / count
    return {"agent/return": mean_return, "agent/length": mean_length}
