"""The film of a Brax robot on its ground."""

from __future__ import annotations

import numpy as np

from evil.evaluation.rendering import palette, robots
from evil.evaluation.rendering.films import Film, Label, Shape, still_order
from evil.evaluation.rendering.recording import Recording
from evil.seams import Spec


def film(spec: Spec, recording: Recording, title: str) -> Film:
    """A robot that cannot leave its plane from the side, any other one from above."""
    model, seconds = robots.model(spec.name, spec.backend)
    position, rotation = (np.asarray(x, np.float64) for x in recording.links)
    ends, radii = robots.capsules(model, position, rotation), robots.radii(model)
    root = position[:, 0]
    is_planar = robots.is_planar(model)
    view = robots.SIDE if is_planar else robots.OBLIQUE
    ground, labels = _side(root) if is_planar else _above(root, ends, radii)
    body = [
        Shape(view.flatten(x), radius, colour, outlined=True)
        for x, radius, colour in zip(ends, radii, robots.colours(model), strict=True)
    ]
    away = np.stack([(x @ view.away).mean(1) for x in ends], -1)  # [F, capsules]
    order = np.argsort(-away.round(6), axis=1, kind="stable") + len(ground)
    focus, height = framing(view, root, ends, is_planar)
    returns = np.append(0.0, np.cumsum(recording.reward))
    return Film(
        title=title,
        shapes=(*ground, *body),
        backdrop=len(ground) - (0 if is_planar else len(ends)),
        labels=tuple(labels),
        order=np.concatenate([still_order(len(root), len(ground)), order], axis=1),
        focus=focus,
        height=height,
        captions=tuple(
            f"{step * seconds:.1f} s   step {step}   return {returns[step]:,.0f}"
            for step in range(len(root))
        ),
        seconds=seconds,
    )


def framing(
    view: robots.Camera, root: np.ndarray, ends: list[np.ndarray], is_planar: bool
) -> tuple[np.ndarray, float]:
    """Centre and height of the pictures: with the robot, but without its every tremor."""
    top = max(float(x[0, :, 2].max()) for x in ends)
    path = np.stack([_smooth(x) for x in root.T], -1)
    if is_planar:
        height = max(1.9, 1.75 * top)
        return np.stack([path[:, 0], np.full(len(path), 0.34 * height)], -1), height
    path[:, 2] = 0.45 * top
    return view.flatten(path), max(2.6, 1.65 * top)


def _side(root: np.ndarray) -> tuple[list[Shape], list[Label]]:
    return robots.side_ground(float(root[:, 0].min()), float(root[:, 0].max()))


def _above(
    root: np.ndarray, ends: list[np.ndarray], radii: list[float]
) -> tuple[list[Shape], list[Label]]:
    """The ground with a shadow of every capsule, cast straight down."""
    view = robots.OBLIQUE
    ground, labels = robots.grid_ground(view, root[:, :2].min(0), root[:, :2].max(0))
    shadows = [
        Shape(view.flatten(x * (1.0, 1.0, 0.0)), radius, palette.LINE)
        for x, radius in zip(ends, radii, strict=True)
    ]
    return [*ground, *shadows], labels


def _smooth(x: np.ndarray, width: int = 25) -> np.ndarray:
    """A moving average that is as long as what it averages."""
    padded = np.pad(x, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")
