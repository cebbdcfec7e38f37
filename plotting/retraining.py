"""Recipes side by side: what the policy of the game returns, and what fresh ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plotting import runs, style

REFERENCES = ("rl", "survival")


def draw(study: str | Path) -> Path:
    """Draw `figures/retraining.png` of a study and return its path."""
    return style.write(figure(study), study, "retraining.png")


@style.styled
def figure(study: str | Path) -> Figure:
    """One line per recipe: each policy of the game and each fresh one; panels by environment."""
    rows = runs.document(Path(study) / "table.json")["rows"]
    envs = list(dict.fromkeys(row["env"] for row in rows))
    names = list(dict.fromkeys(row["row"] for row in rows))
    size = (2.6 + 5.0 * len(envs), 1.9 + 0.42 * len(names))
    drawn = style.new(columns=len(envs), size=size)
    for env, axes in zip(envs, drawn.axes, strict=True):
        panel(axes, [row for row in rows if row["env"] == env], names)
        axes.set_xlabel(f"true return on {env}")  # the legend stands where a title would
    drawn.axes[0].set_ylim(len(names) - 0.5, -0.5)
    seeds, fresh = len(rows[0]["irl"]), len(rows[0]["retrain"]) // len(rows[0]["irl"])
    style.headline(
        drawn,
        "Which recipe recovers a reward that retrains a policy",
        f"Each dot is one policy. Rewards per recipe: {seeds}; fresh policies on each: {fresh}. "
        "Bars: interquartile means.",
    )
    return drawn


def panel(axes: Axes, rows: list[dict[str, Any]], names: list[str]) -> None:
    """All recipes on one environment."""
    axes.axvline(rows[0]["expert"], color=style.colour("expert"), linewidth=1.3, label="expert")
    for role in REFERENCES:
        for row in rows:
            if row[role]:
                value = sum(row[role]) / len(row[role])
                colour = style.colour(role)
                axes.axvline(value, color=colour, linestyle=(0, (5, 3)), label=style.name(role))
    for row in rows:
        height = names.index(row["row"])
        for role, shift in (("irl", -0.16), ("retrain", 0.16)):
            values, colour = row[role], style.colour(role)
            label = style.name(role) if row is rows[0] else None
            heights = [height + shift] * len(values)
            axes.plot(values, heights, "o", color=colour, alpha=0.45, markersize=4, label=label)
        axes.plot(
            [row["retrain_iqm"]], [height + 0.16], "|", color=style.colour("retrain"),
            markersize=15, markeredgewidth=2.6,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.05)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    style.legend(axes)
