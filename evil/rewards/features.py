"""Which part of a transition a reward looks at, and in which units.

As numbers that are centred and scaled; or, where observations are whole numbers, as the digits by
which a row of a table is found (`evil.networks.embedding`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil import normalise
from evil.errors import UserError
from evil.networks.mlp import flatten
from evil.pytrees import align
from evil.seams import Spec, Transition

Inputs = Literal["s", "sa", "next_s", "ss", "sas"]
NAMES = ("s", "sa", "next_s", "ss", "sas")


def select(inputs: Inputs, spec: Spec, transitions: Transition, *, one_hot: bool = True) -> Array:
    """Features `[..., F]` of transitions `[...]`.

    `s` is the observation acted upon, `next_s` its true successor, `ss` both, `sa` the observation
    with the applied action, and `sas` all three. A discrete action is `one_hot`, or one number.
    Images are flattened.
    """
    parts = []
    if inputs != "next_s":
        parts.append(flatten(transitions.obs, spec.obs_shape))
    if inputs in ("sa", "sas"):
        action, choices = transitions.action, spec.num_actions
        if action is None:
            raise UserError(
                f"the reward's inputs {inputs!r} contain actions, which these demonstrations do "
                "not hold: expected inputs s, next_s or ss, or demonstrations with actions."
            )
        if choices is not None:
            action = jax.nn.one_hot(action, choices) if one_hot else action[..., None]
        parts.append(action.astype(jnp.float32))
    if inputs in ("next_s", "ss", "sas"):
        parts.append(flatten(transitions.next_obs, spec.obs_shape))
    return jnp.concatenate(parts, axis=-1)


def size(inputs: Inputs, spec: Spec) -> int:
    """F: how many features `select` gives."""
    observed = math.prod(spec.obs_shape)
    acted = (spec.num_actions or spec.action_size) if inputs in ("sa", "sas") else 0
    return observed * (2 if inputs in ("ss", "sas") else 1) + acted


def sizes(inputs: Inputs, spec: Spec) -> tuple[int, ...]:
    """How many values each feature has that is not one-hot; UserError if they are no digits."""
    choices = (spec.num_actions,) if inputs in ("sa", "sas") else ()
    if not spec.obs_sizes or None in choices:
        raise UserError(
            f"embed looks whole numbers up in a table, but those of {spec.name} are not: leave "
            "embed at False."
        )
    before = () if inputs == "next_s" else spec.obs_sizes
    after = spec.obs_sizes if inputs in ("next_s", "ss", "sas") else ()
    return (*before, *choices, *after)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class View:
    """What a reward sees of transitions."""

    select: Callable[[Inputs, Transition], Array]  # features [..., F]
    units: Callable[[normalise.Moments], tuple[Array, Array]]  # mean and deviation [F]
    sizes: tuple[int, ...]  # how many values each feature has, if they are digits


def view(inputs: Inputs, spec: Spec, *, floor: float, embed: bool) -> View:
    """Features in units of their spread, of `floor` at least; or digits, as they are."""
    if not embed:
        return View(
            select=lambda inputs, rows: select(inputs, spec, rows),
            units=lambda moments: units(moments, floor=floor),
            sizes=(),
        )
    return View(
        select=lambda inputs, rows: select(inputs, spec, rows, one_hot=False),
        units=lambda moments: (jnp.zeros_like(moments.mean), jnp.ones_like(moments.mean)),
        sizes=sizes(inputs, spec),
    )


def standardise(mean: Array, std: Array, features: Array) -> Array:
    """Centre and scale features `[..., F]` by moments `[F]`."""
    return (features - align(mean, features.ndim)) / align(std, features.ndim)


def units(moments: normalise.Moments, *, floor: float) -> tuple[Array, Array]:
    """Mean and deviation `[F]` by which features are standardised.

    The deviation is at least `floor`: a feature that never varies among experts would otherwise
    separate them from anybody else at any distance.
    """
    return moments.mean, jnp.maximum(jnp.sqrt(moments.variance), floor)
