"""Tables as policies: what acts upon observations, with or without regard of time.

The parameters are `{"table": probabilities}`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from evil.seams import Key, Policy, PyTree


def make(
    table: Array,
    state_of: Callable[[Array], Array],
    horizon: int | None,
    *,
    deterministic: bool = False,
) -> Policy:
    """The policy of probabilities `[T, S, A]`, or `[S, A]` for no horizon.

    One that depends on time remembers its step; after the last one it stays with the last table.
    """

    def act(params: PyTree, obs: Array, key: Key, memory: PyTree) -> tuple[Array, PyTree]:
        states = state_of(obs)
        if horizon is None:
            rows = params["table"][states]
        else:
            rows = params["table"][jnp.minimum(memory, horizon - 1), states]
            memory = memory + 1
        if deterministic:
            return jnp.argmax(rows, axis=-1).astype(jnp.int32), memory
        return jax.random.categorical(key, jnp.log(rows)).astype(jnp.int32), memory

    def memory(batch: int) -> PyTree:
        return () if horizon is None else jnp.zeros(batch, jnp.int32)

    return Policy(params={"table": table}, act=act, memory=memory)
