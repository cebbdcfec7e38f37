"""Environments as finite worlds: every state by its number, every transition known.

A world ties an MDP to what people and files call its states: `state_of` turns observations into
numbers. A user's own MDP, whose observations are those numbers, becomes a world by `of`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from evil.environments import gridworld, gridworld50
from evil.errors import unknown
from evil.pytrees import merge_leading
from evil.seams import Spec
from evil.tabular import mdp as mdps
from evil.tabular.dynamics import Grid, intend
from evil.tabular.mdp import MDP


@dataclasses.dataclass(frozen=True)
class Map:
    """Where the states of a world lie."""

    shape: tuple[int, int]  # rows and columns
    place: np.ndarray  # [S] of each state, row by row; several states may share one
    moves: np.ndarray  # [A, 2] rows and columns by which an action means to go


@dataclasses.dataclass(frozen=True)
class World:
    """A finite world and its names for things."""

    spec: Spec
    mdp: MDP
    state_of: Callable[[Array], Array]  # observations [..., *obs_shape] -> states [...] int32
    features: Array | None = None  # [S, K] of states, for rewards that are functions of them
    map: Map | None = None  # where to show them

    @property
    def horizon(self) -> int:
        return self.spec.time_limit


def names() -> tuple[str, ...]:
    """The environments that are finite worlds."""
    return tuple(WORLDS)


def make(name: str) -> World:
    """The environment `name` as a finite world."""
    if name not in WORLDS:
        raise unknown("finite world", name, WORLDS)
    return WORLDS[name]()


def of(mdp: MDP, horizon: int, *, name: str = "mdp", features: Array | None = None) -> World:
    """A world whose observations are the numbers of its states: `[1]` each."""
    spec = Spec(
        name=name,
        obs_shape=(1,),
        obs_sizes=(mdp.num_states,),
        time_limit=horizon,
        num_actions=mdp.num_actions,
    )
    return World(spec, mdp, lambda obs: jnp.round(obs[..., 0]).astype(jnp.int32), features)


def large() -> World:
    """The 50x50 gridworld; features are row and column between -1 and 1."""
    env, size = gridworld50.make(), gridworld50.SIZE
    states = jnp.arange(size * size, dtype=jnp.int32)
    # Where actions are executed as intended, no product with a matrix needs to say so.
    certain = dataclasses.replace(large_mdp(env.params), dynamics=Grid(rows=size, columns=size))
    return World(
        spec=env.spec,
        mdp=certain,
        state_of=gridworld50.cell_of,
        features=gridworld50.observe(states) * (2.0 / (size - 1)) - 1.0,
        map=Map((size, size), np.arange(size * size), gridworld50.MOVES),
    )


def large_mdp(params: gridworld50.Params) -> MDP:
    """The 50x50 gridworld of some parameters; maps and noise may be a batch, under `vmap`."""
    size = gridworld50.SIZE
    states = jnp.arange(size * size, dtype=jnp.int32)
    actions = jnp.arange(len(gridworld50.MOVES), dtype=jnp.int32)
    arrived, over = jax.vmap(gridworld50.move, (None, 0), 1)(states, actions)  # [S, A]
    paid = gridworld50.pay(arrived, over, params)
    return MDP(
        dynamics=Grid(rows=size, columns=size, execution=params.execution),
        start=params.starts / params.starts.sum(),
        reward=intend(params.execution, paid),
        end=states == gridworld50.GOAL,
    )


def small() -> World:
    """The 5x5 gridworld: 25 cells before the goal was found, and 25 after, where episodes end."""
    env, size = gridworld.make(), gridworld.SIZE
    before = gridworld.cells(env.params)
    after = dataclasses.replace(before, found=~before.found)
    states = merge_leading(jax.tree.map(lambda x, y: jnp.stack([x, y]), before, after))

    def number(state: gridworld.State) -> Array:
        place = state.position @ jnp.array([size, 1])
        return (place + size * size * state.found).astype(jnp.int32)

    each = jax.vmap(jax.vmap(gridworld.step, (None, None, 0, None)), (None, 0, None, None))
    actions = jnp.arange(len(gridworld.MOVES))
    successor, outcome = each(jax.random.key(0), states, actions, env.params)
    start = np.asarray(env.params.maze).reshape(-1)

    def state_of(obs: Array) -> Array:
        place = jnp.round(size * (obs[..., 0] * size + obs[..., 1]))
        return (place + size * size * jnp.round(obs[..., 4])).astype(jnp.int32)

    return World(
        spec=env.spec,
        mdp=mdps.from_table(
            successor=np.asarray(jax.vmap(jax.vmap(number))(successor)),
            reward=np.asarray(outcome.reward),
            start=np.append(start, np.zeros_like(start)) / start.sum(),
            end=np.asarray(states.found),
        ),
        state_of=state_of,
        features=jax.vmap(gridworld.observe, (0, None))(states, env.params),
        map=Map((size, size), np.tile(np.arange(size * size), 2), gridworld.MOVES),
    )


WORLDS: dict[str, Callable[[], World]] = {"gridworld50": large, "gridworld": small}
