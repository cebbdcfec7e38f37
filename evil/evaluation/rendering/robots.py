"""Brax robots as flat shapes: the capsules of the model, seen by an orthographic camera.

A capsule looks like a capsule from everywhere, so nothing is lost but the light. Robots that
cannot leave their plane are seen from its side; the others obliquely from above, with shadows.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np

from evil.errors import UserError
from evil.evaluation.rendering import palette
from evil.evaluation.rendering.films import Label, Shape, line

LIMBS = (palette.BLUE, palette.ORANGE, palette.GREEN, palette.AMBER)
PLANE, SPHERE, CAPSULE = 0, 2, 3  # mujoco.mjtGeom
FREE_JOINT = 0  # mujoco.mjtJoint
MARGIN = 8.0  # metres of ground beyond where the robot goes


@dataclasses.dataclass(frozen=True)
class Camera:
    """Directions of a picture in the world: right, up, and away from the viewer."""

    right: np.ndarray
    up: np.ndarray
    away: np.ndarray

    def flatten(self, places: np.ndarray) -> np.ndarray:
        """Places `[..., 3]` in the picture, `[..., 2]`."""
        return np.stack([places @ self.right, places @ self.up], -1)


def camera(azimuth: float, elevation: float) -> Camera:
    """A camera that looks along +y, turned left by `azimuth` and raised by `elevation` degrees."""
    a, e = math.radians(azimuth), math.radians(elevation)
    ahead = np.array([math.sin(a), math.cos(a), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    return Camera(
        right=np.array([math.cos(a), -math.sin(a), 0.0]),
        up=math.cos(e) * up + math.sin(e) * ahead,
        away=math.cos(e) * ahead - math.sin(e) * up,
    )


SIDE, OBLIQUE = camera(0.0, 0.0), camera(-25.0, 24.0)


def model(name: str, backend: str) -> tuple[Any, float]:
    """The MuJoCo model that a Brax environment was made from, and seconds per step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # maintenance notices at import and construction
        from brax import envs

        raw: Any = envs.get_environment(name, backend=backend)
    return raw.sys.mj_model, float(raw.dt)


def is_planar(mujoco_model: Any) -> bool:
    """Whether the robot's root slides and turns in the x-z plane only."""
    return int(mujoco_model.jnt_type[0]) != FREE_JOINT


def capsules(mujoco_model: Any, position: np.ndarray, rotation: np.ndarray) -> list[np.ndarray]:
    """Both ends of every capsule over time, `[F, 2, 3]` each; spheres have equal ends.

    `position [F, L, 3]` and `rotation [F, L, 4]` are those of the links, which are the model's
    bodies without the world.
    """
    found = []
    for geom in bodily(mujoco_model):
        link = int(mujoco_model.geom_bodyid[geom]) - 1
        is_sphere = mujoco_model.geom_type[geom] == SPHERE
        half = 0.0 if is_sphere else float(mujoco_model.geom_size[geom, 1])
        axis = rotate(mujoco_model.geom_quat[geom], np.array([0.0, 0.0, half]))
        ends = mujoco_model.geom_pos[geom] + np.stack([-axis, axis])
        found.append(position[:, link, None] + rotate(rotation[:, link, None], ends))
    return found


def bodily(mujoco_model: Any) -> list[int]:
    """The geometries that belong to the robot; UserError for one that is no capsule or sphere."""
    drawn = []
    for geom, kind in enumerate(mujoco_model.geom_type):
        if kind in (SPHERE, CAPSULE):
            drawn.append(geom)
        elif kind != PLANE:
            raise UserError(f"a geometry of type {int(kind)} cannot be drawn, only capsules can.")
    return drawn


def radii(mujoco_model: Any) -> list[float]:
    """The radius of every capsule and sphere."""
    return [float(mujoco_model.geom_size[geom, 0]) for geom in bodily(mujoco_model)]


def rotate(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Vectors `[..., 3]` turned by quaternions `[..., 4]`, scalar first.

    v' = v + 2 w (u × v) + 2 u × (u × v)
    """
    w, u = quaternion[..., :1], quaternion[..., 1:]
    turned = np.cross(u, vector)
    return vector + 2.0 * (w * turned + np.cross(u, turned))


def colours(mujoco_model: Any) -> list[str]:
    """A colour for every geometry: ink for the trunk, one colour for each limb."""
    parents = [int(parent) for parent in mujoco_model.body_parentid]
    children = [parents.count(body) - (body == 0) for body in range(len(parents))]
    trunk = {1}
    for body, count in enumerate(children):
        while count > 1 and body > 0:
            trunk.add(body)
            body = parents[body]
    limbs: dict[int, str] = {}
    found = []
    for geom in bodily(mujoco_model):
        body = int(mujoco_model.geom_bodyid[geom])
        while body not in trunk and parents[body] not in trunk:
            body = parents[body]
        if body not in trunk and body not in limbs:
            limbs[body] = LIMBS[len(limbs) % len(LIMBS)]
        found.append(limbs.get(body, palette.INK))
    return found


def side_ground(low: float, high: float) -> tuple[list[Shape], list[Label]]:
    """The ground from the side, from x = low to high, with a tick at every metre."""
    low, high = math.floor(low - MARGIN), math.ceil(high + MARGIN)
    shapes = [
        line((low, 0), (high, 0), (high, -9), (low, -9), radius=0.0, colour=palette.GROUND),
        line((low, 0), (high, 0), radius=0.008, colour=palette.LINE),
    ]
    for x in range(low, high + 1):
        shapes.append(line((x, -0.02), (x, -0.09), radius=0.006, colour=palette.QUIET))
    return shapes, [Label((x, -0.19), f"{x} m") for x in range(low, high + 1)]


def grid_ground(view: Camera, low: np.ndarray, high: np.ndarray) -> tuple[list[Shape], list[Label]]:
    """The ground from above, a line at every metre, around the box from low to high `[2]`."""
    (x0, y0), (x1, y1) = np.floor(low - MARGIN).astype(int), np.ceil(high + MARGIN).astype(int)

    def flat(*places: tuple[float, float]) -> list[tuple[float, float]]:
        flattened = view.flatten(np.array([(x, y, 0.0) for x, y in places]))
        return [(float(x), float(y)) for x, y in flattened]

    corners = flat((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    shapes = [line(*corners, radius=0.0, colour=palette.GROUND)]
    for x in range(x0, x1 + 1):
        shapes.append(line(*flat((x, y0), (x, y1)), radius=0.008, colour=palette.SHADE))
    for y in range(y0, y1 + 1):
        colour, radius = (palette.LINE, 0.016) if y == 0 else (palette.SHADE, 0.008)
        shapes.append(line(*flat((x0, y), (x1, y)), radius=radius, colour=colour))
    labels = [Label(flat((x + 0.22, -0.16))[0], f"{x} m") for x in range(x0, x1 + 1)]
    return shapes, labels
