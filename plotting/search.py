"""A search for hyper-parameters: what its trials were worth, and which fields mattered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from plotting import runs, style


def draw(run: str | Path) -> Path:
    """Draw `search.png`, and `search_importance.png` where it is known; returns the first."""
    found = runs.summary(run)
    trials = found.get("trials")
    if not trials:
        raise runs.NoData(f"{run}: no trials.")
    if found.get("importance"):
        style.write(importance(run, found["importance"]), run, "search_importance.png")
    return style.write(history(run, trials), run, "search.png")


@style.styled
def history(run: str | Path, trials: list[dict[str, Any]]) -> Figure:
    """Every trial's worth in the order in which they were asked for, and the best so far."""
    drawn = style.new()
    axes = drawn.axes[0]
    trials = sorted(trials, key=lambda trial: trial["number"])
    numbers, values = (np.array([trial[x] for trial in trials]) for x in ("number", "value"))
    axes.plot(numbers, values, "o", color=style.colour("irl"), alpha=0.6, markersize=5)
    axes.step(numbers, np.maximum.accumulate(values), where="post", color=style.colour("retrain"))
    style.reference(axes, 1.0, "expert")
    style.reference(axes, 0.0, "random")
    axes.set_xlabel("trial")
    axes.set_ylabel("area under the learning curve")
    style.headline(
        drawn, runs.title(run), "Random actions are 0, the expert is 1. Line: best so far."
    )
    return drawn


@style.styled
def importance(run: str | Path, shares: dict[str, float]) -> Figure:
    """How much each field says of which trials were good, the most telling on top."""
    names = sorted(shares, key=shares.__getitem__)
    drawn = style.new(size=(7.6, 1.6 + 0.3 * len(names)))
    axes = drawn.axes[0]
    axes.barh(range(len(names)), [100 * shares[name] for name in names],
              color=style.colour("irl"), height=0.6)  # fmt: skip
    axes.set_yticks(range(len(names)), [".".join(name.split(".")[-2:]) for name in names])
    axes.set_xlabel("importance, %")
    axes.grid(visible=False, axis="y")
    style.headline(drawn, runs.title(run), "PED-ANOVA: what tells the best trials from the others.")
    return drawn
