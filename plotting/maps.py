"""A finite world and what was recovered in it: rewards, values, visits, and where to go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plotting import runs, style

NAMES = ("true_reward", "recovered_reward", "value", "learned_visits", "demonstrated_visits")
DIVERGING = "RdBu"


def draw(run: str | Path) -> Path:
    """Draw `figures/maps.png` of a run and return its path."""
    return style.write(figure(run), run, "maps.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """The true reward beside the recovered one; below, values, and visits less the expert's."""
    found = runs.arrays(run, "maps.npz", [*NAMES, "end"])
    drawn = style.new(rows=2, columns=2, size=(11.2, 11.2))
    axes = drawn.axes
    panel(axes[0], found["true_reward"], "true reward of arriving")
    panel(axes[1], found["recovered_reward"], "recovered reward of arriving")
    panel(axes[2], found["value"], "true return of the planned policy from there", "viridis")
    difference = found["learned_visits"] - found["demonstrated_visits"]
    panel(axes[3], difference, "visits per episode: planned policy less demonstrations", "PuOr")
    for one in axes[:4]:
        mark(one, found["end"])
    name = runs.title(run)
    style.headline(
        drawn, f"What was recovered: {name}", "first seed · outlined: where episodes end"
    )
    return drawn


def panel(axes: Axes, values: np.ndarray, title: str, colours: str = DIVERGING) -> None:
    """One heat map; those around zero are as wide as all but the largest hundredth of them."""
    if colours == "viridis":
        image = axes.imshow(values, cmap=colours)
    else:
        width = max(float(np.quantile(np.abs(values), 0.99)), 1e-9)
        image = axes.imshow(values, cmap=colours, norm=CenteredNorm(0.0, width))
    axes.set_title(title)
    clear(axes)
    axes.figure.colorbar(image, ax=axes, shrink=0.75, extend="neither")


def mark(axes: Axes, end: np.ndarray) -> None:
    """A frame around every end."""
    for row, column in np.argwhere(end):
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, clip_on=False)
        frame.set(edgecolor=style.INK, linewidth=1.6)
        axes.add_patch(frame)


def clear(axes: Axes) -> None:
    """No ticks and no grid."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
