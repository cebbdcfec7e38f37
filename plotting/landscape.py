"""Where a potential rises: Φ over the gridworld beside the optimal value function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from plotting import runs, style

TITLES = {"potential": "evolved potential", "value": "optimal value"}


def draw(run: str | Path) -> Path:
    """Draw `figures/landscape.png` of a run and return its path."""
    return style.write(figure(run), run, "landscape.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """Two heat maps with the number of every cell, and how well their ranks agree."""
    maps = runs.arrays(run, "landscape.npz", list(TITLES))
    drawn = style.new(columns=2, size=(8.6, 4.6))
    for axes, (name, title) in zip(drawn.axes, TITLES.items(), strict=True):
        values = maps[name]
        image = axes.imshow(values, cmap="viridis")
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = style.INK if value > middle else "white"
                axes.text(column, row, f"{value:.2g}", ha="center", va="center", color=ink)
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        drawn.colorbar(image, ax=axes, shrink=0.8)
    agreement = runs.number(runs.summary(run).get("rank_correlation_with_value"))
    subtitle = "" if agreement is None else f"Spearman's rank correlation {agreement:+.2f}"
    style.headline(drawn, f"Potential of {runs.title(run)}", subtitle)
    return drawn
