"""Imitation algorithms side by side: how close each comes to the expert on each environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plotting import runs, style

NAMES = style.ALGORITHMS | {
    "bc": "behavioural cloning",
    "survival": "survival bonus",
    "random": "random actions",
}
ASIDE = ("random", "survival")  # baselines, in quieter colours


def draw(league: str | Path) -> Path:
    """Draw `figures/league.png` of a league and return its path."""
    return style.write(figure(league), league, "league.png")


@style.styled
def figure(league: str | Path) -> Figure:
    """A panel per environment with a line per algorithm, the best on top.

    Of a single algorithm all environments stand in one panel.
    """
    rows = runs.document(Path(league) / "table.json")["rows"]
    competing = list(dict.fromkeys(x["algorithm"] for x in rows if x["algorithm"] not in ASIDE))
    envs = list(dict.fromkeys(row["env"] for row in rows))
    if len(competing) == 1:
        drawn = style.new(size=(7.6, 2.1 + 0.42 * len(envs)))
        panel(drawn.axes[0], rows, envs, "env")
        title = f"{NAMES.get(competing[0], competing[0])} on {len(envs)} environments"
    else:
        order = ranked(rows)
        drawn = style.new(columns=len(envs), size=(2.6 + 4.2 * len(envs), 2.1 + 0.36 * len(order)))
        for env, axes in zip(envs, drawn.axes, strict=True):
            panel(axes, [row for row in rows if row["env"] == env], order, "algorithm")
            axes.set_title(env)
        title = "How close imitation comes to the expert"
    drawn.axes[0].invert_yaxis()
    seeds = max(len(row["returns"]) for row in rows)
    style.headline(
        drawn, title, f"Dots: {seeds} seeds. Bars: their mean and its 95 % bootstrap interval."
    )
    return drawn


def ranked(rows: list[dict[str, Any]]) -> list[str]:
    """Algorithms by their mean over environments, the best first."""
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row["algorithm"], []).append(row["mean"])
    return sorted(means, key=lambda name: -sum(means[name]) / len(means[name]))


def panel(axes: Axes, rows: list[dict[str, Any]], places: list[str], by: str) -> None:
    """Rows by what places them on the vertical axis."""
    axes.axvline(100.0, color=style.colour("expert"), linewidth=1.3)
    for row in rows:
        height = places.index(row[by])
        aside = row["algorithm"] in ASIDE
        colour = style.colour(row["algorithm"] if aside else "irl")
        axes.plot(row["percent"], [height] * len(row["percent"]), "o", color=colour, alpha=0.45,
                  markersize=4)  # fmt: skip
        axes.plot([row["mean"]], [height], "|", color=colour, markersize=13, markeredgewidth=2.4)
        low, high = row["interval"] or (None, None)
        if low is not None and high is not None:
            axes.plot([low, high], [height, height], color=colour, linewidth=2.0)
    axes.set_yticks(range(len(places)), [NAMES.get(name, name) for name in places])
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_xlabel("return, % of the expert's")
