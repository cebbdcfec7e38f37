"""How well the agent does by the true reward while it learns, beside the policies to compare."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plotting import runs, style

RETURN = "agent/return"
REFERENCES = ("expert", "bc", "survival", "random")


def draw(run: str | Path) -> Path:
    """Draw `figures/learning.png` of a run and return its path."""
    return style.write(figure(run), run, "learning.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """True return over environment steps: a curve per phase, a dashed line per reference."""
    logged = runs.with_episodes(runs.records(run))
    if "dagger" in runs.phases(logged):
        raise runs.NoData(f"{run}: DAgger reports by round, which rounds.png shows.")
    found = {phase: runs.curve(logged, phase, RETURN) for phase in runs.phases(logged)}
    # An offline phase, such as cloning, takes no environment steps: it has a value, not a curve.
    curves = {
        phase: curve for phase, curve in found.items() if curve is not None and curve.steps[-1] > 0
    }
    if not curves:
        raise runs.NoData(f"{run}: no phase logged {RETURN} over environment steps.")
    drawn = style.new()
    (axes,) = drawn.axes
    summary = runs.summary(run)
    played = style.ALGORITHMS.get(str(summary.get("algorithm")))
    for phase, curve in curves.items():
        draw_curve(axes, curve, phase, label=played if phase == "irl" else None)
    labels = {}
    for role in REFERENCES:
        value = runs.number(summary.get(f"{role}_return"))
        if value is not None:
            style.reference(axes, value, role)
            labels[role] = value
    style.step_axis(axes)
    axes.set_ylabel("episode return (true reward)")
    style.place_labels(drawn, axes, labels)
    style.headline(drawn, f"Return of {runs.title(run)}", runs.spread(list(curves.values())))
    style.legend(axes)
    return drawn


def draw_curve(axes: Axes, curve: runs.Curve, role: str, label: str | None = None) -> None:
    """Mean over seeds as a line (a dot, if there is but one), their spread as a band."""
    colour = style.colour(role)
    if curve.lanes > 1:
        axes.fill_between(curve.steps, *curve.band, color=colour, alpha=0.18, linewidth=0)
    marker = "o" if len(curve.steps) == 1 else None
    axes.plot(curve.steps, curve.mean, color=colour, marker=marker, label=label or style.name(role))
