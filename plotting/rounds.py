"""What the policies of DAgger are worth round by round, beside cloning online and the expert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plotting import learning, runs, style

RETURN = "agent/return"
METHODS = {"dagger": "final_return", "online_bc": "online_bc_return"}
REFERENCES = ("expert", "random")


def draw(run: str | Path) -> Path:
    """Draw `figures/rounds.png` of a run and return its path."""
    return style.write(figure(run), run, "rounds.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """True return over rounds of labels that the policy has learned from.

    A round reports on the policy with which it began; the last point is the final evaluation.
    """
    logged, summary = runs.records(run), runs.summary(run)
    if "dagger" not in runs.phases(logged):
        raise runs.NoData(f"{run}: no phase dagger.")
    drawn = style.new()
    (axes,) = drawn.axes
    curves = []
    for phase, final in METHODS.items():
        curve = by_round(logged, phase, summary.get(final))
        if curve is not None:
            curves.append(curve)
            learning.draw_curve(axes, curve, phase)
    labels = {}
    for role in REFERENCES:
        value = runs.number(summary.get(f"{role}_return"))
        if value is not None:
            style.reference(axes, value, role)
            labels[role] = value
    axes.set_xlabel("rounds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("episode return (true reward)")
    style.place_labels(drawn, axes, labels)
    style.headline(drawn, f"Return by round of {runs.title(run)}", runs.spread(curves))
    style.legend(axes)
    return drawn


def by_round(logged: list[dict[str, Any]], phase: str, final: Any) -> runs.Curve | None:
    """Returns over rounds learned from; iteration k of the records is the round begun with k-1."""
    of_phase = [
        {**record, "env_steps": record["iteration"] - 1}
        for record in logged
        if record.get("phase") == phase and runs.number(record.get("iteration")) is not None
    ]
    curve = runs.curve(of_phase, phase, RETURN)
    per_seed = final.get("per_seed") if isinstance(final, dict) else None
    if curve is None or not isinstance(per_seed, list) or len(per_seed) != curve.lanes:
        return curve
    return runs.Curve(
        steps=np.append(curve.steps, curve.steps[-1] + 1),
        values=np.vstack([curve.values, np.array(per_seed, np.float64)]),
    )
