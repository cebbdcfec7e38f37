"""A film as images for a GIF, drawn by Pillow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from evil.evaluation.rendering import palette
from evil.evaluation.rendering.films import ASPECT, Film

HEIGHT = 400  # pixels
SHARPNESS = 3  # drawn so much larger, then shrunk: smooth edges
SEAM = 2.0  # pixels, around what is outlined
SHADES = 5  # of a colour on its way into another: smooth edges, again
HOLD = 1200  # milliseconds for which the last picture stays


def pictures(film: Film, height: int = HEIGHT) -> list[Image.Image]:
    """Images with one palette for all, so that nothing flickers."""
    colours = Image.new("P", (1, 1))
    colours.putpalette(_shades(film))
    drawn = (_picture(film, frame, height) for frame in range(film.num_frames))
    return [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in drawn]


def durations(film: Film) -> list[int]:
    """Milliseconds for which each image is shown: multiples of ten, without drifting apart."""
    ends = np.round(np.arange(film.num_frames + 1) * film.seconds * 100).astype(int) * 10
    shown = np.maximum(np.diff(ends), 20)  # browsers slow down what is faster
    shown[-1] = HOLD
    return [int(x) for x in shown]


def _shades(film: Film) -> list[int]:
    """Red, green, blue of up to 256 colours: those of the film, blended into its backgrounds."""
    used = dict.fromkeys([palette.INK, palette.QUIET, *(shape.colour for shape in film.shapes)])
    found = {}
    for background in (palette.PAPER, palette.GROUND):
        for colour in used:
            for share in np.linspace(0.0, 1.0, SHADES):
                ends = (ImageColor.getrgb(background), ImageColor.getrgb(colour))
                mixed = np.round((1 - share) * np.array(ends[0]) + share * np.array(ends[1]))
                found[tuple(int(x) for x in mixed)] = None
    return [part for colour in list(found)[:256] for part in colour]


def _picture(film: Film, frame: int, height: int) -> Image.Image:
    width = round(height * ASPECT)
    canvas = Image.new("RGB", (width * SHARPNESS, height * SHARPNESS), palette.PAPER)
    draw = ImageDraw.Draw(canvas)
    scale = SHARPNESS * height / film.height

    def pixels(points: np.ndarray) -> np.ndarray:
        return (points - film.focus[frame]) * (scale, -scale) + np.array(canvas.size) / 2

    for rank, index in enumerate(film.order[frame]):
        if rank == film.backdrop:
            _labels(draw, film, pixels)
        shape = film.shapes[index]
        points = pixels(shape.points[frame if len(shape.points) > 1 else 0])
        if np.isfinite(points).all() and _is_visible(points, shape.radius * scale, canvas.size):
            if shape.outlined:
                _fill(draw, points, shape.radius * scale + SEAM * SHARPNESS, palette.PAPER)
            _fill(draw, points, shape.radius * scale, shape.colour)
    _words(draw, film, frame, canvas.size)
    return canvas.resize((width, height), Image.Resampling.LANCZOS)


def _fill(draw: ImageDraw.ImageDraw, points: np.ndarray, radius: float, colour: str) -> None:
    """The polygon of some points, grown by a radius."""
    corners = [(float(x), float(y)) for x, y in points]
    if len(corners) > 2:
        draw.polygon(corners, fill=colour)
    if len(corners) > 1 and radius > 0:
        closed = [*corners, corners[0]] if len(corners) > 2 else corners
        draw.line(closed, fill=colour, width=max(1, round(2 * radius)))
    if radius > 1:
        for x, y in corners:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _is_visible(points: np.ndarray, radius: float, size: tuple[int, int]) -> bool:
    low, high = points.min(0) - radius, points.max(0) + radius
    return bool((high >= 0).all() and (low <= size).all())


def _labels(
    draw: ImageDraw.ImageDraw, film: Film, pixels: Callable[[np.ndarray], np.ndarray]
) -> None:
    font = ImageFont.load_default(12 * SHARPNESS)
    for label in film.labels:
        x, y = (float(part) for part in pixels(np.array(label.at)))
        draw.text((x, y), label.text, fill=palette.QUIET, font=font, anchor="mm")


def _words(draw: ImageDraw.ImageDraw, film: Film, frame: int, size: tuple[int, int]) -> None:
    """The title in the upper left corner, the caption in the upper right one."""
    edge = 16 * SHARPNESS
    title, caption = (ImageFont.load_default(points * SHARPNESS) for points in (15, 13))
    draw.text((edge, edge), film.title, fill=palette.INK, font=title, anchor="la")
    draw.text(
        (size[0] - edge, edge), film.captions[frame], fill=palette.QUIET, font=caption, anchor="ra"
    )
