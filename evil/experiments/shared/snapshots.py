"""An algorithm that also remembers the policies it had on the way."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree, select
from evil.seams import Algorithm, Key, Metrics, PyTree


@pytree
class State:
    """The algorithm's own state, and what was kept so far."""

    inner: PyTree
    kept: PyTree  # [K, ...] parameters of the chosen policies, zero until they are there
    iteration: Array  # [] int32


def make(algorithm: Algorithm, iterations: tuple[int, ...]) -> Algorithm:
    """`algorithm`, keeping the policies that it has after the chosen numbers of iterations.

    0 is the first policy. The parameters are in `State.kept`, in the given order.
    """

    def remember(inner: PyTree, kept: PyTree, iteration: Array) -> State:
        now = jax.tree.map(
            lambda x, old: jnp.broadcast_to(x[None], old.shape), _params(inner), kept
        )
        due = jnp.asarray(iterations, jnp.int32) == iteration
        return State(inner=inner, kept=select(due, now, kept), iteration=iteration)

    def _params(inner: PyTree) -> PyTree:
        return algorithm.policy(inner).params if iterations else ()

    def init(key: Key, data: PyTree) -> State:
        inner = algorithm.init(key, data)
        empty = jax.tree.map(
            lambda x: jnp.zeros((len(iterations), *x.shape), x.dtype), _params(inner)
        )
        return remember(inner, empty, jnp.zeros((), jnp.int32))

    def step(state: State, data: PyTree) -> tuple[State, Metrics]:
        inner, metrics = algorithm.step(state.inner, data)
        return remember(inner, state.kept, state.iteration + 1), metrics

    return dataclasses.replace(
        algorithm,
        init=init,
        step=step,
        policy=lambda state, **kwargs: algorithm.policy(state.inner, **kwargs),
        reward=lambda state: algorithm.reward(state.inner),
    )
