"""Transitions of a finite world, in three forms that agree.

    backward(V)(s, a)     = Σ_s' p(s'|s, a) V(s')            a value, one step earlier
    log_backward(V)(s, a) = log Σ_s' p(s'|s, a) exp V(s')    the same of logarithms
    forward(μ)(s')        = Σ_s,a μ(s, a) p(s'|s, a)         an occupancy, one step later

`Dense` is any world, at S·A·S numbers. `Table` has one successor per state and executed action, and
the probabilities with which intended actions become executed ones: S·A numbers. `Grid` is such a
table of four moves whose sums are shifts of an image, which needs no gather and no scatter.
"""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree, static
from evil.seams import Key

EXACT = jax.lax.Precision.HIGHEST


class Dynamics(Protocol):
    """What planning and inference need to know of a world's transitions."""

    @property
    def num_states(self) -> int:
        """S."""
        ...

    @property
    def num_actions(self) -> int:
        """A."""
        ...

    def backward(self, values: Array) -> Array:
        """Expected value of the successor: `[S]` to `[S, A]`."""
        ...

    def log_backward(self, values: Array) -> Array:
        """Logarithm of the expected exponential: `[S]`, -inf allowed, to `[S, A]`."""
        ...

    def forward(self, occupancy: Array) -> Array:
        """Mass of the successors: `[S, A]` to `[S]`."""
        ...

    def sample(self, key: Key, state: Array, action: Array) -> Array:
        """A successor `[]` int32 of one state and action."""
        ...

    def probability(self, state: Array, action: Array, successor: Array) -> Array:
        """p(s'|s, a) of arrays of states, actions and successors, all of one shape."""
        ...


@pytree
class Dense:
    """Any finite world."""

    transition: Array  # [S, A, S] probability of each successor

    @property
    def num_states(self) -> int:
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]

    def backward(self, values: Array) -> Array:
        return jnp.einsum("san,n->sa", self.transition, values, precision=EXACT)

    def log_backward(self, values: Array) -> Array:
        return log_sum_exp(jnp.log(self.transition) + values[None, None, :])

    def forward(self, occupancy: Array) -> Array:
        return jnp.einsum("sa,san->n", occupancy, self.transition, precision=EXACT)

    def sample(self, key: Key, state: Array, action: Array) -> Array:
        drawn = jax.random.categorical(key, jnp.log(self.transition[state, action]))
        return drawn.astype(jnp.int32)

    def probability(self, state: Array, action: Array, successor: Array) -> Array:
        return self.transition[state, action, successor]


@pytree
class Table:
    """A world in which an executed action has one successor."""

    successor: Array  # [S, A] int32
    execution: Array | None = None  # [A, A] probability of executed by intended; None: as intended

    @property
    def num_states(self) -> int:
        return self.successor.shape[0]

    @property
    def num_actions(self) -> int:
        return self.successor.shape[1]

    def backward(self, values: Array) -> Array:
        return intend(self.execution, values[self.successor])

    def log_backward(self, values: Array) -> Array:
        return log_intend(self.execution, values[self.successor])

    def forward(self, occupancy: Array) -> Array:
        executed = execute(self.execution, occupancy)
        return jnp.zeros(self.num_states).at[self.successor].add(executed)

    def sample(self, key: Key, state: Array, action: Array) -> Array:
        if self.execution is not None:
            action = jax.random.categorical(key, jnp.log(self.execution[action]))
        return self.successor[state, action]

    def probability(self, state: Array, action: Array, successor: Array) -> Array:
        leads = self.successor[state] == successor[..., None]  # [..., A], by executed action
        if self.execution is None:
            return jnp.take_along_axis(leads, action[..., None], -1)[..., 0].astype(jnp.float32)
        return jnp.sum(self.execution[action] * leads, axis=-1)


@pytree
class Grid:
    """Up, down, left and right on cells numbered row by row; the edge stops a move."""

    rows: int = static()
    columns: int = static()
    execution: Array | None = None  # [4, 4] as in a table

    @property
    def num_states(self) -> int:
        return self.rows * self.columns

    @property
    def num_actions(self) -> int:
        return 4

    def backward(self, values: Array) -> Array:
        return intend(self.execution, self._reached(values))

    def log_backward(self, values: Array) -> Array:
        return log_intend(self.execution, self._reached(values))

    def forward(self, occupancy: Array) -> Array:
        executed = execute(self.execution, occupancy).reshape(self.rows, self.columns, 4)
        up, down, left, right = (executed[:, :, action] for action in range(4))
        arrived = _shifted(up, 0, -1) + _shifted(down, 0, 1)
        arrived += _shifted(left, 1, -1) + _shifted(right, 1, 1)
        arrived = arrived.at[0].add(up[0]).at[-1].add(down[-1])
        arrived = arrived.at[:, 0].add(left[:, 0]).at[:, -1].add(right[:, -1])
        return arrived.reshape(-1)

    def sample(self, key: Key, state: Array, action: Array) -> Array:
        return self.table().sample(key, state, action)

    def probability(self, state: Array, action: Array, successor: Array) -> Array:
        return self.table().probability(state, action, successor)

    def table(self) -> Table:
        """The same world as a table."""
        cells = jnp.arange(self.num_states, dtype=jnp.int32)
        return Table(successor=self._reached(cells), execution=self.execution)

    def _reached(self, values: Array) -> Array:
        """What `[S]` has where each executed action leads: `[S, 4]`."""
        image = values.reshape(self.rows, self.columns)
        up = jnp.concatenate([image[:1], image[:-1]], axis=0)
        down = jnp.concatenate([image[1:], image[-1:]], axis=0)
        left = jnp.concatenate([image[:, :1], image[:, :-1]], axis=1)
        right = jnp.concatenate([image[:, 1:], image[:, -1:]], axis=1)
        return jnp.stack([up, down, left, right], axis=-1).reshape(-1, 4)


def dense(dynamics: Dynamics) -> Dense:
    """Any dynamics as the full array `[S, A, S]`; for small worlds."""
    columns = jax.vmap(dynamics.backward)(jnp.eye(dynamics.num_states))  # [S', S, A]
    return Dense(transition=jnp.moveaxis(columns, 0, -1))


def intend(execution: Array | None, reached: Array) -> Array:
    """Expectations by intended action, of values by executed action: `[S, A]` each."""
    if execution is None:
        return reached
    return jnp.einsum("ab,sb->sa", execution, reached, precision=EXACT)


def log_intend(execution: Array | None, reached: Array) -> Array:
    """The logarithm of `intend` of exponentials, for values of any size."""
    if execution is None:
        return reached
    return log_sum_exp(jnp.log(execution)[None] + reached[:, None, :])


def execute(execution: Array | None, occupancy: Array) -> Array:
    """Mass by executed action, of mass by intended action: `[S, A]` each."""
    if execution is None:
        return occupancy
    return jnp.einsum("sa,ab->sb", occupancy, execution, precision=EXACT)


def log_sum_exp(x: Array) -> Array:
    """log Σ exp x over the last axis; -inf, with gradient zero, where all of it is."""
    highest = jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    is_empty = highest == -jnp.inf
    total = jnp.sum(jnp.exp(x - jnp.where(is_empty, 0.0, highest)), axis=-1)
    nothing = is_empty[..., 0]
    return jnp.where(nothing, -jnp.inf, jnp.log(jnp.where(nothing, 1.0, total)) + highest[..., 0])


def _shifted(image: Array, axis: int, by: int) -> Array:
    """An image moved by one cell, with zeros where nothing comes in."""
    widths = [(0, 0, 0), (0, 0, 0)]
    widths[axis] = (by, -by, 0)
    return jax.lax.pad(image, jnp.zeros((), image.dtype), widths)
