"""Worlds with other physics: parameters drawn at random, as data that `reset` and `step` take.

`bodies` draws geometry, joint limits and joint dynamics of a Brax model, one model per seed; what
they change in the compiled model is stacked `[D, ...]`, so that D worlds are lanes of one program.
Each quantity is uniform between its bounds, in the order of `BODIES`, from NumPy's Mersenne
twister: the draws of seeds 0 to 4 are those of the reference. `CLASSICS` are its changed classics.

Reference: sapora2024evil
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError
from evil.seams import Environment, PyTree


@dataclasses.dataclass(frozen=True)
class Quantity:
    """An attribute of one element of a model, and the bounds of each of its numbers."""

    element: str  # geom or joint
    name: str
    attribute: str
    bounds: tuple[tuple[float, float], ...]


def _capsule(name: str, radius: tuple[float, float], length: tuple[float, float]) -> Quantity:
    return Quantity("geom", name, "size", (radius, length))


def _radius(low: float, high: float, *names: str) -> tuple[Quantity, ...]:
    return tuple(Quantity("geom", name, "size", ((low, high),)) for name in names)


def _limits(name: str, lower: tuple[float, float], upper: tuple[float, float]) -> Quantity:
    return Quantity("joint", name, "range", (lower, upper))


def _number(name: str, low: float, high: float, attribute: str) -> Quantity:
    return Quantity("joint", name, attribute, ((low, high),))


THICK, FOOT, SHANK, THIGH = (0.04, 0.06), (0.05, 0.07), (0.03, 0.05), (0.2, 0.25)
BENT, STRAIGHT = (-2.79253, -2.44346), (0.0, 0.0)

BODIES: dict[str, tuple[Quantity, ...]] = {
    "hopper": (
        _capsule("foot_geom", FOOT, (0.1755, 0.2145)),
        _capsule("leg_geom", SHANK, (0.23, 0.27)),
        _capsule("thigh_geom", THICK, THIGH),
        _capsule("torso_geom", THICK, THIGH),
        _limits("thigh_joint", BENT, STRAIGHT),
    ),
    "walker2d": (
        _capsule("foot_left_geom", FOOT, (0.09, 0.11)),
        _capsule("foot_geom", FOOT, (0.09, 0.11)),
        _capsule("leg_left_geom", SHANK, (0.23, 0.27)),
        _capsule("leg_geom", SHANK, (0.23, 0.27)),
        _capsule("thigh_left_geom", THICK, THIGH),
        _capsule("thigh_geom", THICK, THIGH),
        _limits("leg_left_joint", (BENT[1], BENT[0]), STRAIGHT),  # as published
        _limits("leg_joint", BENT, STRAIGHT),
    ),
    "ant": (
        *_radius(
            0.05, 0.11,
            *(f"aux_{leg}_geom" for leg in (1, 2, 3, 4)),
            "left_leg_geom", "right_leg_geom", "back_leg_geom", "rightback_leg_geom",
            "left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom",
        ),
        *(_limits(f"hip_{leg}", (-40.0, -20.0), (20.0, 40.0)) for leg in (1, 2, 3, 4)),
        _limits("ankle_1", (20.0, 40.0), (60.0, 80.0)),
        _limits("ankle_2", (-80.0, -60.0), (-40.0, -20.0)),
        _limits("ankle_3", (-80.0, -60.0), (-40.0, -20.0)),
        _limits("ankle_4", (20.0, 40.0), (60.0, 80.0)),
    ),
    "humanoid": (
        *_radius(0.05, 0.1, "right_foot", "left_foot"),
        *_radius(0.03, 0.09, "right_thigh1", "left_thigh1"),
        *_radius(0.02, 0.04, "right_larm", "left_larm"),
        *_radius(0.02, 0.06, "right_uarm1", "left_uarm1"),
        *(_limits(f"{side}_hip_x", (-60.0, 0.0), (-20.0, 30.0)) for side in ("right", "left")),
        *(_limits(f"{side}_hip_z", (-100.0, -20.0), (0.0, 60.0)) for side in ("right", "left")),
        *(_limits(f"{side}_hip_y", (-140.0, -80.0), (-10.0, 50.0)) for side in ("right", "left")),
        *(_limits(f"{side}_knee", (-200.0, -100.0), (-50.0, 50.0)) for side in ("right", "left")),
    ),
    "halfcheetah": (
        *(_number(f"{leg}thigh", 4.0, 8.0, "damping") for leg in ("b", "f")),
        *(_number(f"{leg}thigh", 230.0, 250.0, "stiffness") for leg in ("b", "f")),
        *(_capsule(f"{leg}foot", (0.04, 0.05), (0.065, 0.075)) for leg in ("b", "f")),
    ),
}  # fmt: skip

CLASSICS: dict[str, dict[str, float]] = {
    "cartpole": {"gravity": 20.0},
    "pendulum": {"max_torque": 10.0},
    "reacher": {"torque_scale": 10.0},
}

UNREAD = ("stat", "cam", "light", "geom_aabb")  # what no physics backend reads


def draw(name: str, seed: int) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """The numbers of one body, by element, name and attribute; lower limits never exceed upper."""
    if name not in BODIES:
        raise UserError(
            f"no distribution of bodies for {name}: expected one of {', '.join(BODIES)}."
        )
    random, found = np.random.RandomState(seed), {}
    for quantity in BODIES[name]:
        numbers = [float(random.uniform(low, high)) for low, high in quantity.bounds]
        if quantity.attribute == "range":
            numbers.sort()
        found[quantity.element, quantity.name, quantity.attribute] = tuple(numbers)
    return found


def bodies(env: Environment, seeds: Sequence[int]) -> PyTree:
    """Physics parameters `[D, ...]` of D bodies, for `reset` and `step` of a Brax environment."""
    if not env.spec.backend:
        raise UserError(f"{env.spec.name} has no body: expected a Brax environment.")
    from evil.environments import brax

    xml = brax.model(env.spec.name)
    base = _fields(brax.load(xml))
    drawn = [_fields(brax.load(edited(xml, draw(env.spec.name, seed)))) for seed in seeds]
    changed = [
        name
        for name in base
        if not name.startswith(UNREAD) and any(_differ(base[name], other[name]) for other in drawn)
    ]
    return {
        name: jax.tree.map(lambda *x: jnp.stack(x), *[other[name] for other in drawn])
        for name in changed
    }


def parameters(env: Environment) -> dict[str, PyTree]:
    """All physics parameters of an environment by name."""
    if env.spec.backend:
        from evil.environments import brax

        return _fields(brax.system(env.spec.name, env.spec.backend))
    return vars(env.params) if dataclasses.is_dataclass(env.params) else {}


def edited(xml: str, numbers: Mapping[tuple[str, str, str], Sequence[float]]) -> str:
    """A model with other numbers; UserError for an element that it does not have."""
    root = ElementTree.fromstring(xml)
    world = root.find("worldbody")
    assert world is not None
    for (element, name, attribute), values in numbers.items():
        found = world.find(f".//{element}[@name='{name}']")
        if found is None:
            raise UserError(f"the model has no {element} {name!r}.")
        found.set(attribute, " ".join(f"{value:.9g}" for value in values))
    return ElementTree.tostring(root, encoding="unicode")


def _fields(tree: PyTree) -> dict[str, PyTree]:
    """Arrays by the dotted names that `tree_replace` understands; a tuple has one name."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    found: dict[str, PyTree] = {}
    for path, leaf in paths:
        name, _, inside = jax.tree_util.keystr(path).lstrip(".").partition("[")
        found[name] = (*found.get(name, ()), np.asarray(leaf)) if inside else np.asarray(leaf)
    return found


def _differ(one: PyTree, other: PyTree) -> bool:
    return not all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))
