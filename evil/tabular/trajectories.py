"""What was done in a finite world: states and actions by their numbers, and how often.

    μ_E(s, a) = 1/E Σ_e Σ_t γ^t 1[s_t = s, a_t = a]

Axes: E episodes, T steps of the longest.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.demonstrations import Demonstrations, actions_for
from evil.errors import UserError
from evil.pytrees import pytree
from evil.seams import Key
from evil.tabular import mdp as mdps
from evil.tabular.mdp import MDP


@pytree
class Trajectories:
    """E episodes padded to T steps, of which the first `count` are in use.

    An outer loop may `vmap` over `count` to compare numbers of demonstrations.
    """

    states: Array  # [E, T+1] int32: the last of an episode is where it stopped
    actions: Array  # [E, T] int32
    length: Array  # [E] int32, steps of each episode
    count: Array  # [] int32


def read(
    demos: Demonstrations, state_of: Callable[[Array], Array], mdp: MDP, horizon: int | None
) -> Trajectories:
    """Demonstrations as numbers of states, checked to be possible in a world."""
    found = Trajectories(
        states=state_of(demos.obs),
        actions=actions_for(demos, "a finite world's path"),
        length=demos.length,
        count=jnp.asarray(demos.length.shape[0], jnp.int32),
    )
    return check(found, mdp, horizon)


def check(found: Trajectories, mdp: MDP, horizon: int | None) -> Trajectories:
    """The trajectories, cut where they reach an end; UserError for what cannot have happened."""
    states, actions, length = (np.asarray(x) for x in (found.states, found.actions, found.length))
    happened = np.arange(actions.shape[1]) < length[:, None]
    before, after = np.where(happened, states[:, :-1], 0), np.where(happened, states[:, 1:], 0)
    mdps.states("demonstration's state", before, mdp.num_states, ("episode", "step"))
    mdps.states("demonstration's next state", after, mdp.num_states, ("episode", "step"))
    acted = np.where(happened, actions, 0)
    outside = (acted < 0) | (acted >= mdp.num_actions)
    if outside.any():
        episode, step = (int(i) for i in np.argwhere(outside)[0])
        raise UserError(
            f"demonstration's action of episode {episode}, step {step} is "
            f"{acted[episode, step]}, expected 0 to {mdp.num_actions - 1}."
        )
    # What is recorded after the end, such as the last step of the small gridworld, did not happen.
    ends = np.asarray(mdp.end)[states.clip(0, mdp.num_states - 1)]
    cut = np.where(ends.any(axis=1), ends.argmax(axis=1), length)
    length = np.minimum(length, cut)
    if horizon is not None and length.max() > horizon:
        episode = int(length.argmax())
        raise UserError(
            f"demonstration of episode {episode} has {length[episode]} steps, expected at most "
            f"the horizon of {horizon}."
        )
    places = np.argwhere(np.arange(actions.shape[1]) < length[:, None])
    happened = np.stack([x[tuple(places.T)] for x in (before, acted, after)], axis=-1)
    kinds, first = np.unique(happened, axis=0, return_index=True)
    chance = np.asarray(mdp.dynamics.probability(*map(jnp.asarray, kinds.T)))
    if (impossible := chance <= 0.0).any():
        episode, step = places[first[impossible].min()]
        state, action, successor = happened[first[impossible].min()]
        raise UserError(
            f"demonstration of episode {episode}, step {step} goes from state {state} by action "
            f"{action} to state {successor}, which the dynamics give probability 0."
        )
    return Trajectories(
        states=jnp.asarray(states.clip(0, mdp.num_states - 1), jnp.int32),
        actions=jnp.asarray(actions.clip(0, mdp.num_actions - 1), jnp.int32),
        length=jnp.asarray(length, jnp.int32),
        count=found.count,
    )


def shares(found: Trajectories) -> Array:
    """What each episode counts for in a mean over those in use: `[E]`."""
    return (jnp.arange(found.length.shape[0]) < found.count) / found.count


def visits(found: Trajectories, mdp: MDP, *, discount: Array | float = 1.0) -> Array:
    """Mean discounted visits `[S, A]` of an episode in use."""
    steps = jnp.arange(found.actions.shape[1])
    happened = steps[None] < found.length[:, None]
    weight = jnp.where(happened, (discount**steps)[None], 0.0) * shares(found)[:, None]
    counts = jnp.zeros((mdp.num_states, mdp.num_actions))
    return counts.at[found.states[:, :-1], found.actions].add(weight)


def first_states(found: Trajectories, num_states: int) -> Array:
    """How often an episode in use began in each state, on average: `[S]`."""
    return jnp.zeros(num_states).at[found.states[:, 0]].add(shares(found))


def final_states(found: Trajectories, num_states: int) -> Array:
    """How often an episode in use stopped in each state, on average: `[S]`."""
    last = jnp.take_along_axis(found.states, found.length[:, None], axis=1)[:, 0]
    return jnp.zeros(num_states).at[last].add(shares(found))


def action_table(counts: Array) -> Array:
    """How often each action was taken in each state `[S, A]`; uniform where none was."""
    total = counts.sum(axis=-1, keepdims=True)
    seen = total > 0.0
    return jnp.where(seen, counts / jnp.where(seen, total, 1.0), 1.0 / counts.shape[-1])


def rollout(
    key: Key, mdp: MDP, policy: Array, horizon: int, num_episodes: int, *, per_start: int = 1
) -> Trajectories:
    """Episodes of a policy `[S, A]` or `[T, S, A]`, each to its end or the horizon.

    `per_start` in a row begin in the same state; it must divide their number.
    """
    key_start, key_steps = jax.random.split(key)
    logits = jnp.log(mdp.start)
    starts = jax.random.categorical(key_start, logits, shape=(num_episodes // per_start,))
    first = jnp.repeat(starts.astype(jnp.int32), per_start)
    log_policy = jnp.log(policy)

    def advance(state: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        index, key = now
        key_action, key_world = jax.random.split(key)
        table = log_policy[index] if policy.ndim == 3 else log_policy
        action = jax.random.categorical(key_action, table[state]).astype(jnp.int32)
        keys = jax.random.split(key_world, num_episodes)
        moved = jax.vmap(mdp.dynamics.sample)(keys, state, action)
        state = jnp.where(mdp.end[state], state, moved).astype(jnp.int32)
        return state, (state, action)

    steps = (jnp.arange(horizon), jax.random.split(key_steps, horizon))
    _, (states, actions) = jax.lax.scan(advance, first, steps)
    states = jnp.concatenate([first[None], states]).T
    ended = mdp.end[states]
    length = jnp.where(ended.any(axis=1), jnp.argmax(ended, axis=1), horizon)
    return Trajectories(
        states=states,
        actions=actions.T,
        length=length.astype(jnp.int32),
        count=jnp.asarray(num_episodes, jnp.int32),
    )
