"""Which part of a transition a reward looks at."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil import normalise
from evil.networks.mlp import flatten
from evil.pytrees import align
from evil.seams import Spec, Transition

Inputs = Literal["s", "sa", "next_s", "ss", "sas"]
NAMES = ("s", "sa", "next_s", "ss", "sas")


def select(inputs: Inputs, spec: Spec, transitions: Transition) -> Array:
    """Features `[..., F]` of transitions `[...]`.

    `s` is the observation acted upon, `next_s` its true successor, `ss` both, `sa` the observation
    with the applied action (one-hot if discrete), and `sas` all three. Images are flattened.
    """
    parts = []
    if inputs != "next_s":
        parts.append(flatten(transitions.obs, spec.obs_shape))
    if inputs in ("sa", "sas"):
        action, choices = transitions.action, spec.num_actions
        parts.append(action if choices is None else jax.nn.one_hot(action, choices))
    if inputs in ("next_s", "ss", "sas"):
        parts.append(flatten(transitions.next_obs, spec.obs_shape))
    return jnp.concatenate(parts, axis=-1)


def size(inputs: Inputs, spec: Spec) -> int:
    """F: how many features `select` gives."""
    observed = math.prod(spec.obs_shape)
    acted = (spec.num_actions or spec.action_size) if inputs in ("sa", "sas") else 0
    return observed * (2 if inputs in ("ss", "sas") else 1) + acted


def standardise(mean: Array, std: Array, features: Array) -> Array:
    """Centre and scale features `[..., F]` by moments `[F]`."""
    return (features - align(mean, features.ndim)) / align(std, features.ndim)


def moments(features: Array, valid: Array) -> normalise.Moments:
    """Moments `[F]` of the rows of `features [N, F]` where `valid [N]`."""
    where = valid[:, None]
    return normalise.Moments(
        count=valid.sum().astype(jnp.float32),
        mean=jnp.mean(features, axis=0, where=where),
        variance=jnp.var(features, axis=0, where=where),
    )


def units(moments: normalise.Moments, *, floor: float) -> tuple[Array, Array]:
    """Mean and deviation `[F]` by which features are standardised.

    The deviation is at least `floor`: a feature that never varies among experts would otherwise
    separate them from anybody else at any distance.
    """
    return moments.mean, jnp.maximum(jnp.sqrt(moments.variance), floor)
