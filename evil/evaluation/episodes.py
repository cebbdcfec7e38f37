"""Playing full episodes with a frozen policy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.distributions.family import bounds
from evil.environments.episodes import transition
from evil.pytrees import is_finite, pytree, select
from evil.rewards import fixed
from evil.seams import Environment, Key, Policy, PyTree, Score, Step


@pytree
class Played:
    """E episodes, padded to the environment's time limit T."""

    obs: Array  # [E, T+1, ...]
    action: Array  # [E, T, ...]
    reward: Array  # [E, T], zero after the end
    length: Array  # [E] int32
    terminated: Array  # [E] bool


def play(
    env: Environment, policy: Policy, key: Key, num_episodes: int, *, physics: PyTree = None
) -> Played:
    """Full episodes from fresh starts, with every observation and action."""
    start, final, records = _run(env, policy, key, num_episodes, physics, record=True)
    obs, action, reward = records
    obs = jnp.concatenate([start[None], obs])
    return Played(
        obs=jnp.swapaxes(obs, 0, 1),
        action=jnp.swapaxes(action, 0, 1),
        reward=jnp.swapaxes(reward, 0, 1),
        length=final["length"],
        terminated=final["terminated"],
    )


def returns(
    env: Environment, policy: Policy, key: Key, num_episodes: int, *, physics: PyTree = None
) -> tuple[Array, Array]:
    """True undiscounted returns and lengths of full episodes, `[E]` each."""
    _, final, _ = _run(env, policy, key, num_episodes, physics)
    return final["total"], final["length"]


def judged(
    env: Environment,
    policy: Policy,
    key: Key,
    num_episodes: int,
    score: Score,
    reward_params: PyTree,
    *,
    physics: PyTree = None,
) -> tuple[Array, Array]:
    """Undiscounted returns of full episodes: true ones and those under another reward, `[E]`."""
    judge = (score, reward_params)
    _, final, _ = _run(env, policy, key, num_episodes, physics, judge=judge)
    return final["total"], final["judged"]


def random_policy(env: Environment) -> Policy:
    """Actions drawn uniformly from the environment's action space."""
    spec = env.spec

    def act(params: PyTree, obs: Array, key: Key, memory: PyTree) -> tuple[Array, PyTree]:
        del params
        batch = obs.shape[: obs.ndim - len(spec.obs_shape)]
        if spec.num_actions is not None:
            return jax.random.randint(key, batch, 0, spec.num_actions), memory
        uniform = jax.random.uniform(key, (*batch, spec.action_size), minval=-1.0, maxval=1.0)
        return bounds(spec).to_action(uniform), memory

    return Policy(params=(), act=act)


def _run(
    env: Environment,
    policy: Policy,
    key: Key,
    count: int,
    physics: PyTree,
    *,
    record: bool = False,
    judge: tuple[Score, PyTree] | None = None,
) -> tuple[Array, dict[str, Array], PyTree]:
    """First observations, final tallies, and per-step records if asked for.

    `judge` is a second reward by which the same steps are counted.
    """
    physics = env.params if physics is None else physics
    score, reward_params = judge or (fixed.real(), ())
    key_start, key_steps = jax.random.split(key)
    world, obs = jax.vmap(env.reset, (0, None))(jax.random.split(key_start, count), physics)
    tally = {
        "alive": jnp.ones(count, bool),
        "total": jnp.zeros(count),
        "judged": jnp.zeros(count),
        "length": jnp.zeros(count, jnp.int32),
        "terminated": jnp.zeros(count, bool),
    }

    def advance(carry: PyTree, key: Key) -> tuple[PyTree, PyTree]:
        world, obs, memory, score_memory, tally = carry
        key_action, key_world = jax.random.split(key)
        action, memory = policy.act(policy.params, obs, key_action, memory)
        keys = jax.random.split(key_world, count)
        moved, step = jax.vmap(env.step, (0, 0, 0, None))(keys, world, action, physics)
        alive = tally["alive"]
        tally, step = _count(tally, step, obs)
        taken = jax.tree.map(lambda x: x[None], transition(obs, action, step))
        rewards, score_memory = score.apply(reward_params, score_memory, taken)
        counts = alive & ~step.truncated
        tally["judged"] += jnp.where(counts, rewards[0], 0.0)
        world = select(tally["alive"], moved, world)
        record_of_step = (step.next_obs, action, step.reward) if record else ()
        return (world, step.next_obs, memory, score_memory, tally), record_of_step

    carry = (world, obs, policy.memory(count), score.memory(count), tally)
    keys = jax.random.split(key_steps, env.spec.time_limit)
    (*_, tally), records = jax.lax.scan(advance, carry, keys)
    return obs, tally, records


def _count(tally: dict[str, Array], step: Step, obs: Array) -> tuple[dict[str, Array], Step]:
    """Tallies after a step; a step after the end, or one that diverged, counts for nothing."""
    sound = jax.vmap(is_finite)((step.next_obs, step.reward))
    counts = tally["alive"] & sound
    reward = jnp.where(counts, step.reward, 0.0)
    ended = counts & step.terminated
    step = Step(
        next_obs=select(counts, step.next_obs, obs),
        reward=reward,
        terminated=ended,
        truncated=tally["alive"] & ~sound,
    )
    tally = tally | {
        "alive": counts & ~step.terminated,
        "total": tally["total"] + reward,
        "length": tally["length"] + counts,
        "terminated": tally["terminated"] | ended,
    }
    return tally, step
