"""Tables as policies, with or without regard of time, and policies as tables.

The parameters are `{"table": probabilities}`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError
from evil.seams import Key, Policy, PyTree, Transition


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


def tabulate(policy: Policy, obs: Array, num_actions: int) -> Array:
    """The probabilities `[S, A]` of a policy in states that look like `obs [S, ...]`.

    UserError for a policy that cannot say how likely its actions are.
    """
    if policy.log_prob is None:
        raise UserError("a table of a policy needs its log_prob, found none.")
    shape = obs.shape[0], num_actions
    seen = jnp.broadcast_to(obs[:, None], (*shape, *obs.shape[1:]))
    nothing = jnp.zeros(shape)
    asked = Transition(
        obs=seen,
        action=jnp.broadcast_to(jnp.arange(num_actions, dtype=jnp.int32)[None], shape),
        next_obs=seen,
        reward=nothing,
        terminated=nothing > 0,
        truncated=nothing > 0,
    )
    return jnp.exp(policy.log_prob(policy.params, asked))
