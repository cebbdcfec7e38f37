"""Where a policy goes first from every cell, over the true rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from plotting import maps, runs, style

VISITED = 1e-3  # visits per episode above which a cell counts as demonstrated


def draw(run: str | Path) -> Path:
    """Draw `figures/arrows.png` of a run and return its path."""
    return style.write(figure(run), run, "arrows.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """One arrow per cell, dark where the expert was seen; cells that cost something are shaded."""
    names = ["true_reward", "action", "moves", "end", "demonstrated_visits"]
    found = runs.arrays(run, "maps.npz", names)
    drawn = style.new(size=(10.4, 11.0))
    (axes,) = drawn.axes
    axes.imshow(found["true_reward"], cmap=maps.DIVERGING, norm=CenteredNorm(0.0, 3.0), alpha=0.75)
    seen = found["demonstrated_visits"] > VISITED
    point(axes, found, seen & ~found["end"], style.INK)
    point(axes, found, ~seen & ~found["end"], "#9A9A9A")
    maps.mark(axes, found["end"])
    maps.clear(axes)
    subtitle = (
        "likeliest first action · grey: cells where the expert hardly ever was · red: they cost"
    )
    style.headline(drawn, f"Policy planned on the reward: {runs.title(run)}", subtitle)
    return drawn


def point(axes: Axes, found: dict[str, np.ndarray], where: np.ndarray, colour: str) -> None:
    """Arrows of the cells `where`, four fifths of a cell long."""
    rows, columns = np.nonzero(where)
    change = 0.8 * found["moves"][found["action"][where]]
    axes.quiver(
        columns - change[:, 1] / 2, rows - change[:, 0] / 2, change[:, 1], change[:, 0],
        color=colour, angles="xy", scale_units="xy", scale=1.0, units="xy", width=0.09,
        headwidth=4.5, headlength=4.0, headaxislength=3.6,
    )  # fmt: skip
