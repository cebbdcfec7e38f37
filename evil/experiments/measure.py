"""True returns of trained policies, many at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from evil.evaluation import episodes
from evil.seams import Environment, Key, Policy


def returns(
    env: Environment, policies: Mapping[str, Policy], key: Key, num_episodes: int
) -> dict[str, np.ndarray]:
    """Returns `[L, num_episodes]` of each stacked policy, whose parameters have leading axis L.

    Policies that share their `act` are played by one compiled program. All play from the same
    starts and random numbers.
    """
    by_act: dict[Any, list[str]] = {}
    for name, policy in policies.items():
        by_act.setdefault(policy.act, []).append(name)
    found = {}
    for names in by_act.values():
        # Through the host: lanes of different phases may lie on different devices.
        stacked = [jax.device_get(policies[name].params) for name in names]
        params = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stacked)
        template = policies[names[0]]

        def one(params: Any, key: Key, template: Policy = template) -> jax.Array:
            policy = Policy(params=params, act=template.act, memory=template.memory)
            return episodes.returns(env, policy, key, num_episodes)[0]

        played = np.asarray(jax.jit(jax.vmap(one, (0, None)))(params, key))
        counts = [jax.tree.leaves(tree)[0].shape[0] for tree in stacked]
        parts = np.split(played, np.cumsum(counts)[:-1])
        found |= dict(zip(names, parts, strict=True))
    return {name: found[name] for name in policies}


def mean_return(env: Environment, policy: Policy, key: Key, num_episodes: int) -> float:
    """Mean return of one policy."""
    played = jax.jit(
        lambda params: episodes.returns(
            env, dataclasses.replace(policy, params=params), key, num_episodes
        )[0]
    )(policy.params)
    return float(played.mean())


def summarise(played: np.ndarray) -> dict[str, Any]:
    """Mean return over lanes, of each lane, and its deviation over episodes: `[L, E]` in."""
    return {
        "mean": float(played.mean()),
        "per_seed": [float(x) for x in played.mean(axis=1)],
        "std": [float(x) for x in played.std(axis=1)],
    }


def unstack(policy: Policy, lane: int) -> Policy:
    """One lane of a stacked policy."""
    params = jax.tree.map(lambda x: x[lane], policy.params)
    return Policy(params=params, act=policy.act, memory=policy.memory)


def stacked_policy(make: Any, states: Any, *, deterministic: bool = False) -> Policy:
    """The policies of lane-stacked states, as one stacked policy."""
    return jax.vmap(lambda state: make(state, deterministic=deterministic))(states)


def correlation(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Pearson's correlation; 0 where either is constant."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.std() < 1e-12 or y.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
