"""Figures of a run, from nothing but the files in its directory.

learning.py   true return over environment steps
gap.py        learned reward, expert against learner
evolution.py  fitness over generations
landscape.py  evolved potential beside the optimal value, on the gridworld
rounds.py     true return by round of DAgger
landmark.py   recovered reward against what the task is about
maps.py       a finite world: rewards, values and visits
sweep.py      what hyper-parameters are worth
search.py     a search for them: its history, and which mattered
arrows.py     a finite world: where the policy goes
"""

from pathlib import Path

from plotting import (
    arrows,
    evolution,
    gap,
    landmark,
    landscape,
    learning,
    maps,
    rounds,
    runs,
    search,
    sweep,
)
from plotting.runs import NoData

__all__ = ["NoData", "draw_all"]

# Figures of single runs would pool the lanes of these, which differ in more than the seed.
OF_MANY = {"evil.experiments.series.sweep": (sweep,), "evil.experiments.series.search": (search,)}
FIGURES = (learning, gap, landmark, evolution, landscape, rounds, maps, arrows)


def draw_all(run: str | Path) -> list[Path]:
    """Draw every figure whose data the run has, into `<run>/figures/`; returns their paths."""
    if not Path(run).is_dir():
        raise NoData(f"{run}: no such run directory.")
    chosen = OF_MANY.get(runs.kind(run), FIGURES)
    drawn = []
    for figure in chosen:
        try:
            drawn.append(figure.draw(run))
        except NoData:
            continue
    return drawn
