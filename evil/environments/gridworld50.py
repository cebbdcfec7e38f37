"""A walk over 50x50 cells, a third of which cost one: the world of the tabular methods.

Actions are 0 up, 1 down, 2 left, 3 right. A move over the edge costs 1 and leaves the agent where
it is; any other pays what is written on the cell it leads to: -1, 0, or 10 at the goal in the lower
right corner, whose arrival terminates the episode. Episodes start, uniformly, on a cell from which
the goal can be reached without loss. The map is that of NumPy's generator with seed 1000.

Observations are (row, column) in whole cells, as float32. So an ordinary network sees two numbers
that can be centred and scaled; a network that embeds (`Spec.obs_sizes`) looks up one row of a table
per cell, which is the one-hot network of the tabular literature; and files of demonstrations hold
two numbers per step instead of 2500.

What the executed action is, given the one intended, is a matrix of probabilities among the
parameters: the identity by default, `SLIPPERY` for a world in which one move in ten goes each of
the three other ways.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.pytrees import pytree
from evil.seams import Environment, Key, Spec, Step

SIZE = 50
GOAL = SIZE * SIZE - 1
TIME_LIMIT = 200
MAP_SEED = 1000
PRIZE = 10.0
MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.int32)  # (row, column) by action
SLIPPERY = np.array(0.6 * np.eye(4) + 0.1, np.float32)


@pytree
class Params:
    """The map and its physics, which are data: a batch of maps is a `vmap`."""

    payment: Array  # [2500] float32, for arriving on each cell
    starts: Array  # [2500] bool, where episodes may begin
    execution: Array  # [4, 4] float32, probability of each executed action by intended action


def payments(seed: int = MAP_SEED) -> np.ndarray:
    """The map of a seed `[2500]`: a third of the cells cost 1, the last one pays the prize."""
    costly = np.random.default_rng(seed).choice(GOAL, size=GOAL // 3, replace=False)
    payment = np.zeros(SIZE * SIZE, np.float32)
    payment[costly] = -1.0
    payment[GOAL] = PRIZE
    return payment


def starts(payment: np.ndarray) -> np.ndarray:
    """Cells from which the goal can be reached without loss `[2500]`, but for the goal itself."""
    free = np.asarray(payment).reshape(SIZE, SIZE) >= 0.0
    reached = np.zeros_like(free)
    reached.flat[GOAL] = True
    while True:
        padded = np.pad(reached, 1)
        beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        grown = reached | (beside & free)
        if (grown == reached).all():
            break
        reached = grown
    reached.flat[GOAL] = False
    return reached.reshape(-1)


def default_params() -> Params:
    """The map of seed 1000, where every action is executed as intended."""
    return with_map(payments())


def with_map(payment: np.ndarray) -> Params:
    """A world of another map; actions are executed as intended."""
    return Params(
        payment=jnp.asarray(payment, jnp.float32),
        starts=jnp.asarray(starts(payment)),
        execution=jnp.eye(len(MOVES)),
    )


def move(cell: Array, action: Array) -> tuple[Array, Array]:
    """The cell that an executed action leads to, and whether it would have led over the edge."""
    row, column = jnp.divmod(cell, SIZE)
    change = jnp.asarray(MOVES)[action]
    row, column = row + change[..., 0], column + change[..., 1]
    over = (row < 0) | (row >= SIZE) | (column < 0) | (column >= SIZE)
    inside = jnp.clip(row, 0, SIZE - 1) * SIZE + jnp.clip(column, 0, SIZE - 1)
    return inside.astype(jnp.int32), over


def pay(cell: Array, over: Array, params: Params) -> Array:
    """The reward of arriving on a cell, or of having been stopped at the edge there."""
    return jnp.where(over, -1.0, params.payment[cell])


def reset(key: Key, params: Params) -> tuple[Array, Array]:
    """Start on one of the starting cells; the state is the cell's number, row by row."""
    logits = jnp.where(params.starts, 0.0, -jnp.inf)
    cell = jax.random.categorical(key, logits).astype(jnp.int32)
    return cell, observe(cell)


def step(key: Key, cell: Array, action: Array, params: Params) -> tuple[Array, Step]:
    """Move as the executed action says."""
    executed = jax.random.categorical(key, jnp.log(params.execution[action]))
    successor, over = move(cell, executed)
    return successor, Step(
        next_obs=observe(successor),
        reward=pay(successor, over, params),
        terminated=(successor == GOAL) & ~over,
        truncated=jnp.zeros((), bool),
    )


def observe(cell: Array) -> Array:
    """Row and column of cells `[...]`: `[..., 2]` float32."""
    return jnp.stack(jnp.divmod(cell, SIZE), axis=-1).astype(jnp.float32)


def cell_of(obs: Array) -> Array:
    """The cells `[...]` int32 that observations `[..., 2]` are of."""
    row, column = obs[..., 0], obs[..., 1]
    return jnp.round(row * SIZE + column).astype(jnp.int32)


def make() -> Environment:
    """The world behind the environment seam."""
    spec = Spec(
        name="gridworld50",
        obs_shape=(2,),
        obs_sizes=(SIZE, SIZE),
        time_limit=TIME_LIMIT,
        num_actions=len(MOVES),
    )
    return Environment(spec=spec, params=default_params(), reset=reset, step=step)
