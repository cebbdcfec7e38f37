"""Gymnax environments behind the environment seam.

`step_env` and `reset_env` are adapted, never `step`, so neither Gymnax's auto-reset nor its time
limit is in the way: `EnvParams.max_steps_in_episode` becomes `Spec.time_limit` and is not read
again, except by environments that observe it.

The physics parameters are Gymnax's own `EnvParams` with arrays for leaves. They are taken at
their word: CartPole reads `total_mass` and `polemass_length` as fields of their own, so whoever
changes a mass changes those too. Actions reach the environment unclipped; where it clips them it
does so by its parameters (Pendulum by `max_torque`), while the bounds in the spec stay those of
the default parameters.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.errors import UserError, unknown
from evil.pytrees import strongly_typed
from evil.seams import Environment, Key, PyTree, Spec, Step

LANDMARKS = {"CartPole-v1": (2, "pole angle"), "Pendulum-v1": (2, "angular velocity")}


def make(name: str) -> Environment:
    """The registered Gymnax environment `name`, e.g. `Acrobot-v1`.

    Discrete observations become one-hot vectors and integer ones float32; images keep their shape.
    """
    raw, params = _construct(name)
    observation_space, action_space = raw.observation_space(params), raw.action_space(params)
    for kind, space in (("observations", observation_space), ("actions", action_space)):
        if not (_is_discrete(space) or hasattr(space, "low")):
            raise UserError(
                f"{name} has {kind} in {type(space).__name__}, expected a Box or Discrete space."
            )

    def observe(obs: Array) -> Array:
        if _is_discrete(observation_space):
            return jax.nn.one_hot(obs, observation_space.n, dtype=jnp.float32)
        return jnp.asarray(obs, jnp.float32)

    def reset(key: Key, params: PyTree) -> tuple[PyTree, Array]:
        obs, state = raw.reset_env(key, params)
        return strongly_typed(state), observe(obs)

    def step(key: Key, state: PyTree, action: Array, params: PyTree) -> tuple[PyTree, Step]:
        action = jnp.asarray(action, action_space.dtype).reshape(action_space.shape)
        obs, state, reward, terminated, _ = raw.step_env(key, state, action, params)
        return strongly_typed(state), Step(
            next_obs=observe(obs),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=jnp.asarray(terminated, bool),
            truncated=jnp.zeros((), bool),
        )

    spec = Spec(
        name=name,
        obs_shape=_shape(observation_space),
        time_limit=int(params.max_steps_in_episode),
        landmark=LANDMARKS.get(name),
        **_actions(action_space),
    )
    return Environment(spec=spec, params=strongly_typed(params), reset=reset, step=step)


def registered() -> tuple[str, ...]:
    """Every id that Gymnax knows at this moment, runtime registrations included."""
    import gymnax  # three seconds, hence not at the top

    return tuple(gymnax.registered_envs)


def _construct(name: str) -> tuple[Any, Any]:
    if name not in registered():
        raise unknown("environment", name, registered())
    import gymnax

    try:
        return gymnax.make(name)
    except OSError as error:  # MNISTBandit-bsuite downloads its images
        raise UserError(f"{name} could not fetch the data it needs: {error}.") from error


def _is_discrete(space: Any) -> bool:
    return hasattr(space, "n")


def _shape(space: Any) -> tuple[int, ...]:
    return (int(space.n),) if _is_discrete(space) else tuple(space.shape)


def _actions(space: Any) -> dict[str, Any]:
    """The fields of a spec that describe actions; bounds are given for every component."""
    if _is_discrete(space):
        return {"num_actions": int(space.n)}
    low = np.broadcast_to(np.asarray(space.low), space.shape).reshape(-1)
    high = np.broadcast_to(np.asarray(space.high), space.shape).reshape(-1)
    return {
        "action_size": low.size,
        "action_low": tuple(map(float, low)),
        "action_high": tuple(map(float, high)),
    }
