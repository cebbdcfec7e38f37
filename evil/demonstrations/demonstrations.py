"""Expert episodes as one pytree of fixed shapes, and the choice of which of its steps count.

Axes: E episodes, T steps (the longest episode), N rows in use, A the length of an action vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil import normalise
from evil.errors import UserError
from evil.pytrees import pytree
from evil.seams import Key, Spec, Transition


@pytree
class Demonstrations:
    """E episodes padded to T steps, and the rows of them that may be learned from.

    Subsampling and selection change only `rows` and `count`, so an outer loop can `vmap` over
    different selections of the same episodes.
    """

    obs: Array  # [E, T+1, ...] float32: every observation once; obs[e, t+1] is the successor
    end_weight: Array | None = None  # [] float32: how often `sample` draws a row that terminated,
    # where others are drawn once; None: as often
    action: Array | None = None  # [E, T] int32 or [E, T, A] float32, as applied, where known
    reward: Array  # [E, T] float32: the environment's own, for reference; zeros if unknown
    length: Array  # [E] int32: steps of each episode
    terminated: Array  # [E] bool: whether the last step terminated; otherwise it was truncated
    rows: Array  # [N] int32: flat indices e·T + t of the steps in use
    count: Array  # [] int32: how many of `rows` are valid (the first ones); the rest is padding


def from_episodes(episodes: Sequence[Mapping[str, Any]]) -> Demonstrations:
    """Pad episodes to a common length, with every step in use.

    Each episode is a mapping with `obs [L+1, ...]` (the last one is the final successor), and
    optionally `action [L]` or `[L, A]` (all have them, or none), `reward [L]` (zeros if absent) and
    `terminated` (one bool: whether the last step ended the task; False if absent).
    """
    if not episodes:
        raise UserError("demonstrations need at least one episode, found none.")
    checked = [_episode(index, episode) for index, episode in enumerate(episodes)]
    for index, (obs, action, *_) in enumerate(checked):
        for name, found, first in (("obs", obs, checked[0][0]), ("action", action, checked[0][1])):
            if found is None and first is None:
                continue
            if found is None or first is None:
                raise UserError(f"episode {index}: expected actions in all episodes or in none.")
            if found.shape[1:] != first.shape[1:] or found.dtype != first.dtype:
                raise UserError(
                    f"episode {index}: each {name} is {found.dtype} of shape {found.shape[1:]}, "
                    f"but {first.dtype} of shape {first.shape[1:]} in episode 0."
                )
    obs, action, reward, terminated = zip(*checked, strict=True)
    return from_concatenated(
        obs=np.concatenate(obs),
        action=None if action[0] is None else np.concatenate(action),
        reward=np.concatenate(reward),
        length=np.array([len(part) for part in reward], np.int32),
        terminated=np.array(terminated, bool),
    )


def nothing(spec: Spec) -> Demonstrations:
    """No episodes, of which each would have one step: all that has E axes has E = 0."""
    action = () if spec.is_discrete else (spec.action_size,)
    return Demonstrations(
        obs=jnp.zeros((0, 2, *spec.obs_shape)),
        action=jnp.zeros((0, 1, *action), jnp.int32 if spec.is_discrete else jnp.float32),
        reward=jnp.zeros((0, 1)),
        length=jnp.zeros(0, jnp.int32),
        terminated=jnp.zeros(0, bool),
        rows=jnp.zeros(0, jnp.int32),
        count=jnp.int32(0),
    )


def from_concatenated(
    *,
    obs: np.ndarray,
    action: np.ndarray | None = None,
    reward: np.ndarray,
    length: np.ndarray,
    terminated: np.ndarray,
) -> Demonstrations:
    """Pad episodes stored end to end: `obs [sum(L)+E, ...]`, `action` and `reward` `[sum(L)]`."""
    step = np.arange(length.max() + 1)
    is_step = step[:-1] < length[:, None]
    arrays = {
        "obs": _scatter(obs, step <= length[:, None]),
        "reward": _scatter(reward, is_step),
        "length": length,
        "terminated": terminated,
    }
    if action is not None:
        arrays["action"] = _scatter(action, is_step)
    return with_rows(arrays, np.flatnonzero(is_step))


def actions_for(demos: Demonstrations, who: str) -> Array:
    """The demonstrated actions; UserError that says who needs them, where there are none."""
    if demos.action is None:
        raise UserError(
            f"{who} needs the expert's actions, which these demonstrations do not hold: expected "
            "demonstrations with actions, or a method that learns from states alone."
        )
    return demos.action


def transitions(demos: Demonstrations, rows: Array) -> Transition:
    """The steps at flat indices `rows` (any shape), which becomes the leading shape."""
    episode, step = jnp.divmod(rows, demos.reward.shape[1])
    is_last = step == demos.length[episode] - 1
    terminated = demos.terminated[episode]
    return Transition(
        obs=demos.obs[episode, step],
        action=None if demos.action is None else demos.action[episode, step],  # pyright: ignore[reportArgumentType]
        next_obs=demos.obs[episode, step + 1],
        reward=demos.reward[episode, step],
        terminated=is_last & terminated,
        truncated=is_last & ~terminated,
    )


def sample(key: Key, demos: Demonstrations, num: int) -> Transition:
    """`num` transitions from the valid rows, with replacement: uniformly, but for `end_weight`."""
    if demos.end_weight is None:
        index = jax.random.randint(key, (num,), 0, demos.count)
    else:
        ended = transitions(demos, demos.rows).terminated
        in_use = jnp.arange(demos.rows.shape[0]) < demos.count
        total = jnp.cumsum(jnp.where(in_use, jnp.where(ended, demos.end_weight, 1.0), 0.0))
        index = jnp.searchsorted(total, total[-1] * jax.random.uniform(key, (num,)), side="right")
        index = jnp.minimum(index, demos.count - 1)
    return transitions(demos, demos.rows[index])


def moments_of(demos: Demonstrations, chosen: Callable[[Transition], Array]) -> normalise.Moments:
    """Moments of what is `chosen` of the steps in use, feature by feature; none is floored."""
    return normalise.of_rows(chosen(transitions(demos, demos.rows)), demos.count)


def returns(demos: Demonstrations) -> Array:
    """Undiscounted return of every episode, in the environment's own reward: `[E]`."""
    valid = jnp.arange(demos.reward.shape[1])[None, :] < demos.length[:, None]
    return jnp.sum(jnp.where(valid, demos.reward, 0.0), axis=1)


def _episode(index: int, episode: Mapping[str, Any]) -> tuple[Any, ...]:
    """One episode's arrays in the dtypes of `Demonstrations`, its lengths checked."""
    obs, action = np.asarray(episode["obs"], np.float32), episode.get("action")
    steps = len(obs) - 1
    if action is not None:
        action = np.asarray(action)
        action = action.astype(np.int32 if np.issubdtype(action.dtype, np.integer) else np.float32)
        steps = len(action)
    reward = np.asarray(episode.get("reward", np.zeros(max(steps, 0))), np.float32)
    if steps < 1 or len(obs) != steps + 1 or reward.shape != (steps,):
        raise UserError(
            f"episode {index}: {len(obs)} observations, {steps} actions and rewards of shape "
            f"{reward.shape}; expected L+1, L and (L,) with L of 1 or more."
        )
    return obs, action, reward, np.asarray(episode.get("terminated", False), bool)


def _scatter(flat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`flat`'s rows at the True places of `mask`, in order, and zeros elsewhere."""
    padded = np.zeros((*mask.shape, *flat.shape[1:]), flat.dtype)
    padded[mask] = flat
    return padded


def with_rows(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Demonstrations:
    """Move host arrays to the device, with `rows` of them in use."""
    return Demonstrations(
        **{name: jnp.asarray(array) for name, array in arrays.items()},
        rows=jnp.asarray(rows, jnp.int32),
        count=jnp.asarray(len(rows), jnp.int32),
    )
