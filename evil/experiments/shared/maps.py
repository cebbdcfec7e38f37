"""A finite world as maps: rewards, values, actions and visits at every place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from evil.tabular import occupancy, trajectories
from evil.tabular.fitting import Task
from evil.tabular.trajectories import Trajectories
from evil.tabular.worlds import Map, World

FILE = "maps.npz"


def survey(world: World, task: Task, reward: jax.Array, policy: jax.Array) -> dict[str, np.ndarray]:
    """Arrays `[rows, columns]` by name, of one recovered reward and the policy planned on it.

    Rewards are those of arriving at a place, the mean over the ways there; `value` is the true
    return to be expected from there, `action` the likeliest first one. `moves [A, 2]` are the rows
    and columns by which an action means to go. Nothing of a world that has no map.
    """
    if world.map is None:
        return {}
    mdp = world.mdp

    @jax.jit
    def compute(policy: jax.Array, reward: jax.Array, demos: Trajectories) -> dict[str, jax.Array]:
        first = policy[0] if policy.ndim == 3 else policy
        inside = jnp.where(mdp.end[:, None], 0.0, jnp.ones_like(mdp.reward))
        visits = occupancy.occupancy(mdp, policy, world.horizon)
        return {
            "ways": mdp.dynamics.forward(inside),
            "true": mdp.dynamics.forward(inside * mdp.reward),
            "recovered": mdp.dynamics.forward(inside * reward),
            "value": occupancy.policy_values(mdp, mdp.reward, policy, world.horizon),
            "action": first.argmax(axis=-1),
            "learned": visits.sum(axis=-1),
            "demonstrated": trajectories.visits(demos, mdp).sum(axis=-1),
        }

    found = {
        name: np.asarray(x, np.float64) for name, x in compute(policy, reward, task.demos).items()
    }
    lives = ~np.asarray(mdp.end)
    ways = place(world.map, found["ways"])
    return {
        "true_reward": place(world.map, found["true"]) / np.maximum(ways, 1e-9),
        "recovered_reward": place(world.map, found["recovered"]) / np.maximum(ways, 1e-9),
        "value": place(world.map, found["value"] * lives),
        "action": place(world.map, found["action"] * lives).astype(np.int32),
        "learned_visits": place(world.map, found["learned"]),
        "demonstrated_visits": place(world.map, found["demonstrated"]),
        "end": place(world.map, (~lives).astype(float)) > place(world.map, lives.astype(float)),
        "moves": world.map.moves,
    }


def place(world: Map, values: np.ndarray) -> np.ndarray:
    """Values `[S]` added up by the place of each state."""
    found = np.zeros(world.shape)
    np.add.at(found.reshape(-1), world.place, values)
    return found
