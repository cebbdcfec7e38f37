"""Whether evolution gets anywhere: what learners' lives were worth, generation by generation."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from plotting import runs, style

PHASE = "evolve"
MEAN, BEST, WORST = (f"evolution/{name}" for name in ("fitness", "best_fitness", "worst_fitness"))


def draw(run: str | Path) -> Path:
    """Draw `figures/evolution.png` of a run and return its path."""
    return style.write(figure(run), run, "evolution.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """Mean fitness of the population over environment steps, its best and worst as a band."""
    logged = runs.records(run)
    mean, best, worst = (runs.curve(logged, PHASE, metric) for metric in (MEAN, BEST, WORST))
    if mean is None or best is None or worst is None:
        raise runs.NoData(f"{run}: phase {PHASE} logged no {MEAN}.")
    drawn = style.new()
    (axes,) = drawn.axes
    colour = style.colour("shaped")
    axes.fill_between(mean.steps, worst.mean, best.mean, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        mean.steps, mean.mean, color=colour, label="mean of the population, best and worst shaded"
    )
    style.step_axis(axes)
    axes.set_ylabel("fitness of a learner's life")
    style.headline(drawn, f"Evolution of {runs.title(run)}", f"{len(mean.steps)} generations")
    style.legend(axes)
    return drawn
