"""Brax locomotion behind the environment seam.

The raw environment is adapted, never Brax's wrappers: those restart for ever from one cached
state, lose the last observation, and cannot tell a time limit from a fall.

Physics parameters are a dictionary from the dotted name of a field of the Brax system to its
value, e.g. `{"link.inertia.mass": masses}`; the default `{}` leaves the model as it is. Which
fields a backend reads is Brax's own affair: `gravity`, `link.inertia.mass`, `dof.damping` and
`actuator.gear` for positional, spring and generalized; `opt.gravity`, `body_mass`,
`dof_damping`, `geom_friction` and `actuator_gainprm` for mjx.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import unknown
from evil.pytrees import strongly_typed
from evil.seams import Environment, Key, PyTree, Spec, Step

BACKENDS = ("positional", "spring", "generalized", "mjx")
TIME_LIMIT = 1000

MODELS = {"halfcheetah": "half_cheetah"}  # file names that differ

# The observation that holds the forward velocity of the torso.
FORWARD_VELOCITY = {"hopper": 5, "walker2d": 8, "halfcheetah": 8, "ant": 13, "humanoid": 22}


def make(name: str, backend: str = "positional") -> Environment:
    """The Brax environment `name` on a physics backend; returns differ between backends."""
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    raw = _construct(name, backend)

    def reset(key: Key, params: PyTree) -> tuple[PyTree, Array]:
        state = strongly_typed(_with_physics(raw, params).reset(key))
        return state, state.obs

    def step(key: Key, state: Any, action: Array, params: PyTree) -> tuple[PyTree, Step]:
        del key  # Brax physics is deterministic
        # Brax updates these dictionaries in place.
        state = state.replace(metrics=dict(state.metrics), info=dict(state.info))
        state = strongly_typed(_with_physics(raw, params).step(state, action))
        return state, Step(
            next_obs=state.obs,
            reward=state.reward,
            terminated=state.done > 0.5,
            truncated=jnp.zeros((), bool),
        )

    size = raw.action_size
    index = FORWARD_VELOCITY.get(name)
    spec = Spec(
        name=name,
        backend=backend,
        obs_shape=jax.eval_shape(raw.reset, jax.random.key(0)).obs.shape,
        time_limit=TIME_LIMIT,
        action_size=size,
        action_low=(-1.0,) * size,
        action_high=(1.0,) * size,
        landmark=None if index is None else (index, "forward velocity"),
    )
    return Environment(spec=spec, params={}, reset=reset, step=step)


def model(name: str) -> str:
    """The MJCF source of an environment's model."""
    with _silence():
        from etils import epath

        folder = epath.resource_path("brax") / "envs" / "assets"
    return (folder / f"{MODELS.get(name, name)}.xml").read_text()


def system(name: str, backend: str) -> Any:
    """The system of an environment, with what the environment itself has changed in its model."""
    return _construct(name, backend).sys


def load(xml: str) -> Any:
    """The system that a model describes."""
    with _silence():
        from brax.io import mjcf

        return mjcf.loads(xml)


def _construct(name: str, backend: str) -> Any:
    with _silence():
        from brax import envs

        return envs.get_environment(name, backend=backend)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Brax's maintenance notices, and what its optional packages print about their absence."""
    silent = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(silent), redirect_stderr(silent):
        warnings.simplefilter("ignore")
        yield


def _with_physics(raw: Any, params: dict[str, Array]) -> Any:
    if not params:
        return raw
    changed = copy.copy(raw)
    changed.sys = raw.sys.tree_replace(params)
    return changed
