"""A potential where all of it can be seen: on the gridworld, beside the optimal value.

Canonical shaping by Φ = V* makes every step's best action its best payment, so an evolved Φ is
expected to rise where V* does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from evil.environments import gridworld
from evil.evaluation import statistics
from evil.rewards.potential import Potential
from evil.seams import Environment, PyTree, Transition

FILE = "landscape.npz"


def survey(env: Environment, potential: Potential, params: PyTree) -> dict[str, np.ndarray] | None:
    """Φ and V* of every cell `[5, 5]`, NaN in walls; None where there is no such map."""
    if env.spec.name != "gridworld":
        return None
    cells = gridworld.cells(env.params)
    obs = jax.vmap(gridworld.observe, (0, None))(cells, env.params)
    nothing = jnp.zeros(obs.shape[0])
    standing = Transition(
        obs=obs,
        action=nothing.astype(jnp.int32),
        next_obs=obs,
        reward=nothing,
        terminated=nothing.astype(bool),
        truncated=nothing.astype(bool),
    )
    value = gridworld.optimal_value(env.params, float(params["discount"]))
    side, free = (gridworld.SIZE, gridworld.SIZE), np.asarray(env.params.maze)
    maps = {"potential": potential.value(params, standing), "value": value}
    return {
        name: np.where(free, np.asarray(x, np.float64).reshape(side), np.nan)
        for name, x in maps.items()
    }


def agreement(maps: Mapping[str, np.ndarray]) -> float:
    """Spearman's rank correlation of Φ with V* over the free cells."""
    free = ~np.isnan(maps["value"])
    return statistics.rank_correlation(maps["potential"][free], maps["value"][free])


def write(path: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Keep the maps for `plotting`."""
    np.savez(path / FILE, potential=maps["potential"], value=maps["value"])
