"""A potential where all of it can be seen: on the gridworld, beside the optimal value.

Canonical shaping by Φ = V* makes every step's best action its best payment, so an evolved Φ is
expected to rise where V* does.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from evil.environments import gridworld
from evil.evaluation import statistics
from evil.experiments.shared.comparison import Term
from evil.seams import Environment, Transition

FILE = "landscape.npz"


def write(path: Path, env: Environment, term: Term) -> dict[str, float]:
    """Write Φ and V* of every cell `[5, 5]`, NaN in walls; returns how well they agree.

    The agreement is Spearman's rank correlation over the free cells. Of other environments there is
    no such map: nothing is written, and nothing returned.
    """
    if env.spec.name != "gridworld":
        return {}
    maps = survey(env, term)
    free = np.asarray(env.params.maze)
    agreement = statistics.rank_correlation(maps["potential"][free], maps["value"][free])
    np.savez(path / FILE, potential=maps["potential"], value=maps["value"])
    return {"rank_correlation_with_value": agreement}


def survey(env: Environment, term: Term) -> dict[str, np.ndarray]:
    """Φ and V* of the cells of a gridworld."""
    obs = jax.vmap(gridworld.observe, (0, None))(gridworld.cells(env.params), env.params)
    nothing = jnp.zeros(obs.shape[0])
    standing = Transition(
        obs=obs,
        action=nothing.astype(jnp.int32),
        next_obs=obs,
        reward=nothing,
        terminated=nothing.astype(bool),
        truncated=nothing.astype(bool),
    )
    value = gridworld.optimal_value(env.params, float(term.params["discount"]))
    maps = {"potential": term.potential.value(term.params, standing), "value": value}
    side, free = (gridworld.SIZE, gridworld.SIZE), np.asarray(env.params.maze)
    return {
        name: np.where(free, np.asarray(x, np.float64).reshape(side), np.nan)
        for name, x in maps.items()
    }
