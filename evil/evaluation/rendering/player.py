"""A film as one HTML page that plays it, and asks no server for anything."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from evil.evaluation.rendering import palette
from evil.evaluation.rendering.drawing import SEAM
from evil.evaluation.rendering.films import ASPECT, Film

TEMPLATE = Path(__file__).with_name("player.html")


def page(film: Film) -> str:
    """HTML with the shapes, the script that draws them on a canvas, and nothing else."""
    # A script ends at the first "</", even inside a string.
    data = json.dumps(_plain(film), allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in (("TITLE", html.escape(film.title)), ("FILM", data)):
        text = text.replace(f"__{name}__", value)
    return text


def _plain(film: Film) -> dict[str, Any]:
    moves = (film.order != film.order[0]).any()
    return {
        "title": film.title,
        "shapes": [
            {
                "points": [_numbers(points) for points in shape.points],
                "radius": shape.radius,
                "colour": shape.colour,
                "outlined": shape.outlined,
            }
            for shape in film.shapes
        ],
        "backdrop": film.backdrop,
        "labels": [{"at": label.at, "text": label.text} for label in film.labels],
        "order": film.order.tolist() if moves else film.order[:1].tolist(),
        "focus": [_numbers(point) for point in film.focus],
        "height": film.height,
        "captions": film.captions,
        "seconds": film.seconds,
        "aspect": ASPECT,
        "seam": SEAM,
        "colours": {"paper": palette.PAPER, "ink": palette.INK, "quiet": palette.QUIET},
    }


def _numbers(array: np.ndarray) -> list[float] | None:
    """Millimetres are enough; nothing stands for what is not to be drawn. Flat: x, y, x, y."""
    if not np.isfinite(array).all():
        return None
    return [round(float(x), 3) for x in array.reshape(-1)]
