"""What there is to see of an episode, before anyone decides how: flat shapes that move.

A shape is a polygon grown by a radius. One point makes a disc, two a capsule, four a rounded box:
that is all a robot needs, and both the GIF and the page draw it the same way.

Coordinates are metres (cells, of a gridworld), right and up.
"""

from __future__ import annotations

import dataclasses

import numpy as np

ASPECT = 1.6  # width of a picture by its height


@dataclasses.dataclass(frozen=True)
class Shape:
    """One thing in the picture, grown by `radius`; where a point is NaN it is not drawn."""

    points: np.ndarray  # [F, K, 2]; F = 1 if it never moves
    radius: float
    colour: str
    outlined: bool = False  # a thin seam of the background's colour sets it off what is behind


@dataclasses.dataclass(frozen=True)
class Label:
    """A word at a fixed place, centred there."""

    at: tuple[float, float]
    text: str


@dataclasses.dataclass(frozen=True)
class Film:
    """F pictures in order, and how to look at them."""

    title: str
    shapes: tuple[Shape, ...]
    backdrop: int  # the first so many shapes, which never move, lie behind the labels
    labels: tuple[Label, ...]
    order: np.ndarray  # [F, S] int: indices of `shapes`, the backdrop first, then far before near
    focus: np.ndarray  # [F, 2] the centre of the picture
    height: float  # of the picture
    captions: tuple[str, ...]  # F lines of text
    seconds: float  # from one picture to the next

    @property
    def num_frames(self) -> int:
        return len(self.captions)


def every(film: Film, stride: int) -> Film:
    """Each `stride`-th picture, and the last one."""
    last = film.num_frames - 1
    kept = np.unique(np.append(np.arange(0, last + 1, stride), last))
    return _keep(film, kept, film.seconds * stride)


def first(film: Film, seconds: float) -> Film:
    """The beginning of a film."""
    count = max(1, min(film.num_frames, round(seconds / film.seconds) + 1))
    return _keep(film, np.arange(count), film.seconds)


def line(*points: tuple[float, float], radius: float, colour: str) -> Shape:
    """A shape that never moves."""
    return Shape(points=np.array([points], np.float64), radius=radius, colour=colour)


def still_order(num_frames: int, num_shapes: int) -> np.ndarray:
    """Shapes in the order in which they are listed, the first of them at the back."""
    return np.tile(np.arange(num_shapes), (num_frames, 1))


def _keep(film: Film, kept: np.ndarray, seconds: float) -> Film:
    shapes = tuple(
        shape if len(shape.points) == 1 else dataclasses.replace(shape, points=shape.points[kept])
        for shape in film.shapes
    )
    return dataclasses.replace(
        film,
        shapes=shapes,
        order=film.order[kept],
        focus=film.focus[kept],
        captions=tuple(film.captions[index] for index in kept),
        seconds=seconds,
    )
