"""How far apart the learned reward holds expert and learner: what inverse RL drives to zero."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from plotting import learning, runs, style

PHASE = "irl"
GAP = "reward/gap"
MEANS = {"expert": "reward/expert_mean", PHASE: "reward/agent_mean"}


def draw(run: str | Path) -> Path:
    """Draw `figures/gap.png` of a run and return its path."""
    return style.write(figure(run), run, "gap.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """Reward gap over environment steps; above it, where logged, the two means it lies between."""
    logged = runs.records(run)
    gap = runs.curve(logged, PHASE, GAP)
    if gap is None:
        raise runs.NoData(f"{run}: phase {PHASE} logged no {GAP}.")
    found = {role: runs.curve(logged, PHASE, metric) for role, metric in MEANS.items()}
    means = {role: curve for role, curve in found.items() if curve is not None}
    has_means = len(means) == len(MEANS)
    drawn = style.new(rows=2, size=(7.6, 5.6)) if has_means else style.new()
    *upper, lower = drawn.axes
    for axes in upper:
        for role, curve in means.items():
            learning.draw_curve(axes, curve, role, label="learner" if role == PHASE else None)
        axes.set_ylabel("mean learned reward")
        style.legend(axes)
    lower.axhline(0.0, color=style.QUIET, linewidth=0.8)
    learning.draw_curve(lower, gap, PHASE)
    lower.set_ylabel("expert − learner" if has_means else "learned reward, expert − learner")
    style.step_axis(lower)
    style.headline(drawn, f"Reward gap of {runs.title(run)}", runs.spread([gap]))
    return drawn
