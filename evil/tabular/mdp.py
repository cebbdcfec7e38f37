"""A finite Markov decision process, and constructors that check what they are given.

    p(s_0),   p(s'|s, a),   r(s, a),   and the states in which an episode ends

An episode ends on arrival in an end state: nothing that is done there is taken or paid. What the
dynamics say about end states is read only by plans that are told to ignore the end.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from evil.errors import UserError
from evil.pytrees import pytree
from evil.tabular.dynamics import Dense, Dynamics, Grid, Table, dense

TOLERANCE = 1e-5  # by which a row may miss one; it is then scaled to it


@pytree
class MDP:
    """A finite world; S states and A actions."""

    dynamics: Dynamics
    start: Array  # [S] probability of each first state
    reward: Array  # [S, A] expected true reward of an action
    end: Array  # [S] bool, where episodes end

    @property
    def num_states(self) -> int:
        return self.dynamics.num_states

    @property
    def num_actions(self) -> int:
        return self.dynamics.num_actions


def from_arrays(
    transition: ArrayLike, reward: ArrayLike, start: ArrayLike, end: ArrayLike | None = None
) -> MDP:
    """A world from transition probabilities `[S, A, S]`.

    `reward` is `[S]` of the state left, `[S, A]`, or `[S, A, S]`; `end` is `[S]` bool, default
    nowhere. Raises UserError for anything that is no such world, and says where it is not.
    """
    transition = np.asarray(transition, np.float64)
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2]:
        raise UserError(
            f"transition has shape {transition.shape}, expected (states, actions, states)."
        )
    transition = distributions("transition", transition, ("state", "action"))
    dynamics = Dense(transition=jnp.asarray(transition, jnp.float32))
    return assembled(dynamics, reward, start, end)


def from_table(
    successor: ArrayLike,
    reward: ArrayLike,
    start: ArrayLike,
    end: ArrayLike | None = None,
    execution: ArrayLike | None = None,
) -> MDP:
    """A world from the successor `[S, A]` of each state and executed action.

    `execution [A, A]` has the probability of each executed action by intended action, default as
    intended; `reward` and `end` are those of `from_arrays`, by intended action.
    """
    successor = np.asarray(successor)
    if successor.ndim != 2 or not np.issubdtype(successor.dtype, np.integer):
        raise UserError(
            f"successor is {successor.dtype} of shape {successor.shape}, expected whole numbers "
            "of shape (states, actions)."
        )
    states("successor", successor, successor.shape[0], ("state", "action"))
    noise = None
    if execution is not None:
        noise = np.asarray(execution, np.float64)
        _shape("execution", noise, (successor.shape[1],) * 2)
        noise = jnp.asarray(distributions("execution", noise, ("intended action",)), jnp.float32)
    dynamics = Table(successor=jnp.asarray(successor, jnp.int32), execution=noise)
    return assembled(dynamics, reward, start, end)


def assembled(
    dynamics: Dynamics, reward: ArrayLike, start: ArrayLike, end: ArrayLike | None = None
) -> MDP:
    """A world of dynamics that are there already; the rest is checked as in `from_arrays`."""
    num_states, num_actions = dynamics.num_states, dynamics.num_actions
    paid, first = np.asarray(reward, np.float64), np.asarray(start, np.float64)
    if not np.isfinite(paid).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(paid))[0])
        raise UserError(f"reward is {paid[where]} at {where}, expected finite numbers.")
    if paid.shape == (num_states,):
        paid = np.repeat(paid[:, None], num_actions, axis=1)
    elif paid.shape == (num_states, num_actions, num_states):
        paid = np.sum(np.asarray(dense(dynamics).transition) * paid, axis=-1)
    _shape("reward", paid, (num_states, num_actions))
    _shape("start", first, (num_states,))
    ends = np.zeros(num_states, bool) if end is None else np.asarray(end)
    _shape("end", ends, (num_states,))
    return MDP(
        dynamics=dynamics,
        start=jnp.asarray(distributions("start", first, ()), jnp.float32),
        reward=jnp.asarray(paid, jnp.float32),
        end=jnp.asarray(ends, bool),
    )


def distributions(what: str, rows: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """`rows`, distributions over the last axis, each of which sums to one; UserError if not."""
    wrong = ~np.isfinite(rows) | (rows < 0.0)
    if wrong.any():
        *row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise UserError(
            f"{_row(what, row, axes)} gives {rows[(*row, column)]:g} to {column}, expected a "
            "probability."
        )
    total = rows.sum(axis=-1)
    if (missing := np.abs(total - 1.0) > TOLERANCE).any():
        row = [int(i) for i in np.argwhere(missing)[0]] if axes else []
        raise UserError(f"{_row(what, row, axes)} sums to {total[tuple(row)]:.6g}, expected 1.")
    return rows / total[..., None]


def states(what: str, numbers: np.ndarray, num_states: int, axes: tuple[str, ...]) -> None:
    """UserError for numbers that are not those of states."""
    outside = (numbers < 0) | (numbers >= num_states)
    if outside.any():
        where = [int(i) for i in np.argwhere(outside)[0]]
        raise UserError(
            f"{_row(what, where, axes)} is state {int(numbers[tuple(where)])}, expected 0 to "
            f"{num_states - 1}."
        )


def in_form(mdp: MDP, form: type) -> MDP:
    """The same world with its dynamics as a `Table` or as `Dense`."""
    if form is Dense:
        return dataclasses.replace(mdp, dynamics=dense(mdp.dynamics))
    if form is Table and isinstance(mdp.dynamics, Grid):
        return dataclasses.replace(mdp, dynamics=mdp.dynamics.table())
    raise UserError(f"no world of {type(mdp.dynamics).__name__} dynamics becomes {form.__name__}.")


def _row(what: str, row: list[int], axes: tuple[str, ...]) -> str:
    place = ", ".join(f"{axis} {index}" for axis, index in zip(axes, row, strict=True))
    return f"{what} of {place}" if place else what


def _shape(what: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise UserError(f"{what} has shape {array.shape}, expected {expected}.")
