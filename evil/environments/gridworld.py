"""The 5x5 gridworld on which EvIL shows what shaping learns: walk to the goal, be paid once.

Actions are 0 up, 1 right, 2 down, 3 left; the observation is (row/5, column/5, goal row/5, goal
column/5, found). A move into a wall or over the edge leaves the agent where it is. Faithful to the
reference in what looks odd:

* the task terminates one step *after* the goal was found, so a found goal is observed once and
  the last action of an episode is worth nothing;
* the goal is found by the move that aims at it, not by being there: an agent that starts on the
  goal must leave and come back, and pushing against the edge from the goal does not count;
* finding it at the tenth and last step is a time limit, not a termination.

The reference folds its limit of ten steps into the end of the task; here it is `Spec.time_limit`.

Reference: sapora2024evil
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.pytrees import pytree
from evil.seams import Environment, Key, Spec, Step

SIZE = 5
TIME_LIMIT = 10
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)], np.int32)  # (row, column) by action


@pytree
class Params:
    """The layout, which is data: a batch of mazes or goals is a `vmap`."""

    maze: Array  # [5, 5] bool, true where the agent may stand
    goal: Array  # [2] int32, row and column


@pytree
class State:
    """Where the agent is, and whether it has been paid."""

    position: Array  # [2] int32, row and column
    found: Array  # bool


def default_params() -> Params:
    """An open field with the goal in the upper right corner."""
    return Params(maze=jnp.ones((SIZE, SIZE), bool), goal=jnp.array([0, SIZE - 1], jnp.int32))


def wall(row: int = 2, door: int = 1) -> Array:
    """A maze cut in two by a wall along `row` with one door: the reference's transfer task."""
    return jnp.ones((SIZE, SIZE), bool).at[row].set(False).at[row, door].set(True)


def reset(key: Key, params: Params) -> tuple[State, Array]:
    """Start on a free cell drawn uniformly; the goal's own cell is one of them."""
    logits = jnp.where(params.maze.reshape(-1), 0.0, -jnp.inf)
    cell = jax.random.categorical(key, logits).astype(jnp.int32)
    state = State(position=jnp.stack([cell // SIZE, cell % SIZE]), found=jnp.zeros((), bool))
    return state, observe(state, params)


def step(key: Key, state: State, action: Array, params: Params) -> tuple[State, Step]:
    """Move if the way is free, and pay 1 if this move is the first to aim at the goal."""
    del key  # the world is deterministic
    target = state.position + jnp.asarray(MOVES)[action]
    row, column = jnp.clip(target, 0, SIZE - 1)
    position = jnp.where(params.maze[row, column], jnp.stack([row, column]), state.position)
    finds = jnp.all(target == params.goal) & ~state.found  # the target before clipping
    successor = State(position=position, found=state.found | finds)
    return successor, Step(
        next_obs=observe(successor, params),
        reward=finds.astype(jnp.float32),
        terminated=state.found,  # of the state before the move
        truncated=jnp.zeros((), bool),
    )


def observe(state: State, params: Params) -> Array:
    """Position and goal in units of the grid's side, and whether the goal was found."""
    places = jnp.concatenate([state.position, params.goal]) / SIZE
    return jnp.append(places, state.found).astype(jnp.float32)


def cells(params: Params) -> State:
    """Every cell of the grid as a state in which the goal was not found yet: `[25]`."""
    places = jnp.arange(SIZE * SIZE)
    position = jnp.stack([places // SIZE, places % SIZE], axis=-1).astype(jnp.int32)
    return State(position=position, found=jnp.zeros(SIZE * SIZE, bool))


def optimal_value(params: Params, discount: float) -> Array:
    """Discounted return of the shortest way from every cell `[25]`, walls' too, time unlimited."""
    states = cells(params)
    actions = jnp.arange(len(MOVES))
    each = jax.vmap(jax.vmap(step, (None, None, 0, None)), (None, 0, None, None))
    successors, outcomes = each(jax.random.key(0), states, actions, params)
    index = successors.position @ jnp.array([SIZE, 1])
    value = jnp.zeros(SIZE * SIZE)
    for _ in range(SIZE * SIZE):  # no way is longer
        after = jnp.where(successors.found, 0.0, value[index])
        value = jnp.max(outcomes.reward + discount * after, axis=1)
    return value


def make() -> Environment:
    """The gridworld behind the environment seam."""
    spec = Spec(name="gridworld", obs_shape=(5,), time_limit=TIME_LIMIT, num_actions=len(MOVES))
    return Environment(spec=spec, params=default_params(), reset=reset, step=step)
