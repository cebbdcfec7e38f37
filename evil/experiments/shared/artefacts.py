"""Policies and rewards as files: weights, and a config from which the rest is rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import environments, normalise, registry
from evil.config import from_dict, to_dict
from evil.demonstrations import from_episodes
from evil.errors import UserError
from evil.learners import policies
from evil.networks import actor_critic
from evil.rewards import features, potential
from evil.running import weights
from evil.seams import Environment, Policy, PyTree, RewardModel, Spec
from evil.tabular import policies as tables
from evil.tabular import worlds


def save_policy(
    path: Path, policy: Policy, config: actor_critic.Config, spec: Spec, **meta: Any
) -> Path:
    """Write a policy of `evil.learners.policies`; returns the safetensors file."""
    described = {"kind": "policy", "config": to_dict(config), **_world(spec), **meta}
    return weights.save(path, policy.params, described)


def load_policy(path: Path, *, deterministic: bool = False) -> tuple[Environment, Policy]:
    """The policy in a file and the environment it was trained in."""
    if weights.describe(path).get("kind") == "policy_table":
        return _load_table(path, deterministic)
    env, config, params = load_network(path)
    module = actor_critic.make(config, env.spec)
    return env, policies.make(config, module, params, deterministic=deterministic)


def load_network(path: Path) -> tuple[Environment, actor_critic.Config, PyTree]:
    """What is in a policy's file: environment, network, and parameters, its critic's too."""
    env, config, _ = _described(path, "policy", actor_critic.Config)
    module = actor_critic.make(config, env.spec)

    def like(key: jax.Array) -> PyTree:
        return {
            "network": module.init(key, jnp.zeros((1, *env.spec.obs_shape))),
            "obs_moments": normalise.init(env.spec.obs_shape),
        }

    params, _ = weights.load(path, _shapes(path, like))
    return env, config, params


def save_reward(path: Path, params: PyTree, config: Any, spec: Spec, **meta: Any) -> Path:
    """Write the parameters that a reward model's score reads; returns the safetensors file."""
    described = {"kind": "reward", "config": to_dict(config), **_world(spec), **meta}
    return weights.save(path, params, described)


def load_reward(path: Path) -> tuple[Environment, RewardModel, PyTree]:
    """The environment of a recovered reward, the model it belongs to, and its parameters."""
    env, config, _ = _described(path, "reward")
    try:
        model = registry.make(config, env)
    except TypeError:  # not the config of anything that is made from an environment
        model = None
    if not isinstance(model, RewardModel):
        raise _foreign(path, "reward", type(config).__module__)
    demos = from_episodes([_nothing(env.spec)])

    def like(key: jax.Array) -> PyTree:
        return model.params(model.init(key, demos))

    params, _ = weights.load(path, _shapes(path, like))
    return env, model, params


def save_potential(path: Path, params: PyTree, config: potential.Config, spec: Spec) -> Path:
    """Write what a potential's score reads; returns the safetensors file."""
    described = {"kind": "potential", "config": to_dict(config), **_world(spec)}
    return weights.save(path, params, described)


def load_potential(path: Path) -> tuple[Environment, potential.Potential, PyTree]:
    """The environment of a potential, the potential, and its parameters."""
    env, config, _ = _described(path, "potential", potential.Config)
    bound = potential.make(config, env)

    def like(key: jax.Array) -> PyTree:
        zeros = jnp.zeros(features.size(config.inputs, env.spec))
        return potential.parameters(bound.init(key), zeros, zeros, 0.0)

    params, _ = weights.load(path, _shapes(path, like))
    return env, bound, params


def save_table(path: Path, params: PyTree, kind: str, spec: Spec) -> Path:
    """Write what a finite world's policy or reward is: `{"table": array}`."""
    return weights.save(path, params, {"kind": kind, **_world(spec)})


def _load_table(path: Path, deterministic: bool) -> tuple[Environment, Policy]:
    """A policy of `evil.tabular.policies`: probabilities `[T, S, A]`, or `[S, A]` at any time."""
    params, meta = weights.load(path)
    env, world = environments.make(str(meta.get("env"))), worlds.make(str(meta.get("env")))
    table, shape = params.get("table"), (world.mdp.num_states, world.mdp.num_actions)
    if table is None or table.shape not in (shape, (world.horizon, *shape)):
        raise UserError(
            f"{path}: expected a table of probabilities of {shape} for {env.spec.name}."
        )
    horizon = world.horizon if table.ndim == 3 else None
    policy = tables.make(table, world.state_of, horizon, deterministic=deterministic)
    return env, policy


def check_world(path: Path, found: Environment, expected: Environment) -> None:
    """UserError if what is in a file belongs to another environment or backend."""
    names = [f"{env.spec.name} {env.spec.backend}".strip() for env in (found, expected)]
    if names[0] != names[1]:
        raise UserError(f"{path} belongs to {names[0]}, expected {names[1]}.")


def _world(spec: Spec) -> dict[str, str]:
    return {"env": spec.name, "backend": spec.backend}


def _described(
    path: Path, kind: str, expected: type = object
) -> tuple[Environment, Any, dict[str, Any]]:
    meta = weights.describe(path)
    if meta.get("kind") != kind or not isinstance(meta.get("config"), dict):
        raise _foreign(path, kind, meta.get("kind"))
    env = environments.make(str(meta.get("env")), meta.get("backend") or None)
    config = from_dict(meta["config"])
    if not isinstance(config, expected):
        raise _foreign(path, kind, type(config).__module__)
    return env, config, meta


def _foreign(path: Path, expected: str, found: object) -> UserError:
    return UserError(f"{path}: expected a {expected} of this library, found {str(found)[:40]!r}.")


def _shapes(path: Path, like: Callable[[jax.Array], PyTree]) -> PyTree:
    """What a described network's parameters are like; of a stranger's config anything may fail."""
    try:
        return jax.eval_shape(like, jax.random.key(0))
    except Exception as error:
        raise UserError(f"{path}: describes no network that could be made.") from error


def _nothing(spec: Spec) -> dict[str, np.ndarray]:
    """An episode of one step, of the right shapes."""
    action = np.zeros(1, np.int32) if spec.is_discrete else np.zeros((1, spec.action_size))
    return {"obs": np.zeros((2, *spec.obs_shape), np.float32), "action": action}
