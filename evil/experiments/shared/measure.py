"""True returns of trained policies, many at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.evaluation import episodes, statistics
from evil.rewards import fixed
from evil.running import settings
from evil.seams import Environment, Key, Policy, PyTree, Score


def returns(
    env: Environment, policies: Mapping[str, Policy], key: Key, num_episodes: int
) -> dict[str, np.ndarray]:
    """Returns `[L, num_episodes]` of each stacked policy, whose parameters have leading axis L.

    Policies that share their `act` are played by one compiled program. All play from the same
    starts and random numbers.
    """
    judges = dict.fromkeys(policies, ())
    return {
        name: played.true
        for name, played in judged(env, policies, key, num_episodes, fixed.real(), judges).items()
    }


@dataclasses.dataclass(frozen=True)
class Judged:
    """Returns `[L, E]` of L policies in E episodes each."""

    true: np.ndarray
    recovered: np.ndarray


def judged(
    env: Environment,
    policies: Mapping[str, Policy],
    key: Key,
    num_episodes: int,
    score: Score,
    rewards: Mapping[str, PyTree],
    programs: Mapping[tuple[str, ...], Any] | None = None,
) -> dict[str, Judged]:
    """As `returns`, with returns under a recovered reward: `rewards` has each lane's parameters.

    `programs` are those of `compile_judged`, for the same names.
    """
    found: dict[str, Judged] = {}
    for names in _by_act(policies):
        # Through the host: lanes of different phases may lie on different devices.
        stacked = [jax.device_get((policies[name].params, rewards[name])) for name in names]
        params = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stacked)
        if programs is None:
            program = _program(env, policies[names[0]], num_episodes, score)
        else:
            program = programs[tuple(names)]
        played = jax.device_get(program(params, key))
        counts = [jax.tree.leaves(tree)[0].shape[0] for tree in stacked]
        parts = [np.split(x, np.cumsum(counts)[:-1]) for x in played]
        for name, true, recovered in zip(names, *parts, strict=True):
            found[name] = Judged(true=true, recovered=recovered)
    return {name: found[name] for name in policies}


def compile_judged(
    env: Environment,
    policies: Mapping[str, Policy],
    key: Key,
    num_episodes: int,
    score: Score,
    rewards: Mapping[str, PyTree],
) -> dict[tuple[str, ...], Any]:
    """The compiled programs of `judged`; of policies and rewards only the shapes matter."""
    programs: dict[tuple[str, ...], Any] = {}
    for names in _by_act(policies):

        def joined(*leaves: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            lanes = sum(leaf.shape[0] for leaf in leaves)
            return jax.ShapeDtypeStruct((lanes, *leaves[0].shape[1:]), leaves[0].dtype)

        stacked = [(policies[name].params, rewards[name]) for name in names]
        program = _program(env, policies[names[0]], num_episodes, score)
        lowered = program.lower(jax.tree.map(joined, *stacked), key)
        programs[tuple(names)] = lowered.compile(settings.compiler_options())
    return programs


def _by_act(policies: Mapping[str, Policy]) -> list[list[str]]:
    """Names of the policies that one program can play."""
    groups: dict[Any, list[str]] = {}
    for name, policy in policies.items():
        groups.setdefault(policy.act, []).append(name)
    return list(groups.values())


def _program(env: Environment, template: Policy, num_episodes: int, score: Score) -> Any:
    """The jitted function of policy and reward parameters `[L, ...]` and a key."""

    def one(params: tuple[PyTree, PyTree], key: Key) -> tuple[jax.Array, jax.Array]:
        policy_params, reward_params = params
        policy = dataclasses.replace(template, params=policy_params)
        return episodes.judged(env, policy, key, num_episodes, score, reward_params)

    return jax.jit(jax.vmap(one, (0, None)))


def reward_of_each(policy: Policy, reward_params: PyTree) -> PyTree:
    """Parameters `[L, ...]` of the reward that goes with each lane of a stacked policy.

    `reward_params [S, ...]` has as many lanes, or each goes with several in a row.
    """
    lanes = jax.tree.leaves(policy.params)[0].shape[0]
    rewards = jax.tree.leaves(reward_params)[0].shape[0]
    return jax.tree.map(lambda x: jnp.repeat(x, lanes // rewards, axis=0), reward_params)


def mean_return(env: Environment, policy: Policy, key: Key, num_episodes: int) -> float:
    """Mean return of one policy."""
    played = jax.jit(
        lambda params: episodes.returns(
            env, dataclasses.replace(policy, params=params), key, num_episodes
        )[0]
    )(policy.params)
    return float(played.mean())


def summarise(played: np.ndarray) -> dict[str, Any]:
    """Means over lanes, each lane's mean, and its deviation over episodes: `[L, E]` in."""
    means = played.mean(axis=1)
    return {
        "mean": float(played.mean()),
        "interquartile_mean": statistics.interquartile_mean(means),
        "per_seed": [float(x) for x in means],
        "std": [float(x) for x in played.std(axis=1)],
    }


def unstack(policy: Policy, lane: int) -> Policy:
    """One lane of a stacked policy."""
    params = jax.tree.map(lambda x: x[lane], policy.params)
    return Policy(params=params, act=policy.act, memory=policy.memory)


def stacked_policy(make: Any, states: Any, *, deterministic: bool = False) -> Policy:
    """The policies of lane-stacked states, as one stacked policy."""
    return jax.vmap(lambda state: make(state, deterministic=deterministic))(states)


def sharing_act(policies: Mapping[str, Policy], like: str) -> dict[str, Policy]:
    """Policies of equal networks with one `act`, that of `like`: one compiled program plays all."""
    act = policies[like]
    return {
        name: dataclasses.replace(act, params=policy.params) for name, policy in policies.items()
    }


def still(clone: Policy, like: Policy) -> Policy:
    """The mode of a stacked policy, with the `act` of another of equal networks if that can be.

    Samples of a gaussian without deviation are its mode; discrete actions have no deviation.
    """
    weights = clone.params["network"]["params"]
    if "log_std" not in weights:
        return clone
    weights = weights | {"log_std": jnp.full_like(weights["log_std"], -30.0)}
    return dataclasses.replace(like, params=clone.params | {"network": {"params": weights}})
