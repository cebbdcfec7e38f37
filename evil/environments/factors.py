"""Worlds of scaled gravity, friction, masses and motors, as data that `reset` and `step` take.

Each quantity that an environment has is multiplied by a factor of its own, uniform in [1 - spread,
1 + spread], by NumPy's Mersenne twister. What a physics backend derives from a model when it is
loaded, such as inverse weights of MuJoCo's constraints, stays that of the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from evil.environments import dynamics
from evil.errors import UserError
from evil.seams import Environment, PyTree

# Names of the parameters that go with a quantity: of Brax's system, and of Gymnax's parameters.
QUANTITIES: dict[str, tuple[str, ...]] = {
    "gravity": ("gravity", "opt.gravity", "g"),
    "friction": ("geom_friction",),
    "mass": (
        *("body_mass", "body_subtreemass", "body_inertia", "link.inertia.mass", "link.inertia.i"),
        *("masscart", "masspole", "total_mass", "polemass_length", "m"),
    ),
    "gear": ("actuator.gear", "actuator_gear", "force_mag", "max_torque", "torque_scale"),
}


def draw(seed: int, spread: float) -> dict[str, float]:
    """The factors of one world."""
    random = np.random.RandomState(seed)
    return {name: float(random.uniform(1.0 - spread, 1.0 + spread)) for name in QUANTITIES}


def worlds(env: Environment, seeds: Sequence[int], *, spread: float = 0.3) -> PyTree:
    """Physics parameters `[D, ...]` of D worlds."""
    if not 0.0 <= spread < 1.0:
        raise UserError(f"factors lie between 1 - spread and 1 + spread: found spread {spread:g}.")
    known = dynamics.parameters(env)
    factor_of = {name: quantity for quantity, names in QUANTITIES.items() for name in names}
    changing = {name: value for name, value in known.items() if name in factor_of}
    if not changing:
        raise UserError(
            f"{env.spec.name} has no gravity, friction, mass or motors that could be scaled."
        )
    drawn = [draw(seed, spread) for seed in seeds]
    scaled = {
        name: jax.tree.map(
            lambda x, name=name: jnp.stack([x * factors[factor_of[name]] for factors in drawn]),
            value,
        )
        for name, value in changing.items()
    }
    if env.spec.backend:
        return scaled
    everywhere = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * len(drawn)), env.params)
    return dataclasses.replace(everywhere, **scaled)
