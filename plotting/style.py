"""One look for every figure: a colour per role, quiet axes, and where a figure is written.

Colours are Okabe and Ito's, which people with any colour vision can tell apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter

P = ParamSpec("P")
T = TypeVar("T")

HEADLINE = 0.55  # inches
INK = "#222222"
QUIET = "#707070"
COLOURS = {
    "expert": INK,
    "irl": "#0072B2",
    "retrain": "#D55E00",
    "rl": "#009E73",
    "bc": "#B0558B",
    "dagger": "#0072B2",
    "online_bc": "#D55E00",
    "survival": "#C98A00",
    "random": "#8C8C8C",
    "real": "#009E73",
    "recovered": "#0072B2",
    "shaped": "#D55E00",
    "unshaped": "#0072B2",
    "critic": "#009E73",
    "expert_critic": "#C98A00",
    "guide": "#8C8C8C",
}
NAMES = {
    "expert": "expert",
    "irl": "inverse RL",
    "retrain": "retrained from scratch",
    "rl": "RL on the true reward",
    "bc": "behavioural cloning",
    "dagger": "DAgger",
    "online_bc": "online cloning",
    "survival": "survival bonus",
    "random": "random",
    "real": "the real reward",
    "recovered": "the recovered reward",
    "shaped": "evolved potential",
    "unshaped": "without shaping",
    "critic": "a critic as potential",
    "expert_critic": "the expert's critic",
    "guide": "the critic's own learner",
}
ALGORITHMS = {  # by the name that a summary gives
    "adril": "AdRIL",
    "airl": "AIRL",
    "bc": "behavioural cloning",
    "dac": "DAC",
    "dagger": "DAgger",
    "dril": "DRIL",
    "evil": "EvIL",
    "fairl": "FAIRL",
    "gail": "GAIL",
    "gmmil": "GMMIL",
    "irl": "IRL",
    "irl_plus": "IRL++",
    "ppo": "PPO on the true reward",
    "pwil": "PWIL",
    "red": "RED",
    "sac": "SAC on the true reward",
    "sqil": "SQIL",
    "transfer": "learners in changed worlds",
}
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.xmargin": 0.015,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": "#B8B8B8",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.borderaxespad": 0.0,
    "savefig.dpi": 160,
}


def colour(role: str) -> str:
    """The colour of a role; a role that is not known here gets the ink of plain text."""
    return COLOURS.get(role, INK)


def name(role: str) -> str:
    """What a reader of the figure calls a role."""
    return NAMES.get(role, role)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Run a drawing function under the settings above, which matplotlib reads as it draws."""

    @functools.wraps(draw)
    def under_settings(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(SETTINGS):
            return draw(*args, **kwargs)

    return under_settings


def new(
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (7.6, 4.4),
    *,
    free: bool = False,
) -> Figure:
    """A figure with `rows · columns` axes that share their x (rows) and y (columns).

    `free` axes share no x. Figures are made without pyplot, so drawing one leaves no global state
    behind.
    """
    below_headline = (0, 0, 1, 1 - HEADLINE / size[1])
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, rect=below_headline)
    figure = Figure(figsize=size, layout=layout)
    figure.subplots(rows, columns, sharex=not free, sharey=columns > 1)
    return figure


@styled
def write(figure: Figure, run: str | Path, file_name: str) -> Path:
    """Write a figure into the run's own folder of figures; whole, or else OSError and none."""
    path = Path(run) / "figures" / file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    try:
        figure.savefig(part, format=path.suffix.removeprefix("."))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def headline(figure: Figure, title: str, subtitle: str) -> None:
    """A bold title and one quiet line below it, at the left edge above all axes."""
    width, height = figure.get_size_inches()
    left, top = 0.12 / width, 1 - 0.12 / height
    figure.text(left, top, title, va="top", fontsize=13, weight="bold")
    figure.text(left, top - 0.26 / height, subtitle, va="top", color=QUIET)


def step_axis(axes: Axes) -> None:
    """Label an x axis of environment steps: 500k, 2M."""
    axes.set_xlabel("environment steps per seed")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0.0)


def reference(axes: Axes, value: float, role: str) -> None:
    """A dashed horizontal line whose label stands right of the axes; see `place_labels`."""
    axes.axhline(value, color=colour(role), linewidth=1.3, linestyle=(0, (5, 3)), label=f"_{role}")


def place_labels(figure: Figure, axes: Axes, labels: dict[str, float]) -> None:
    """Write each role at its height right of the axes, moved apart where they would overlap."""
    if not labels:
        return
    low, high = axes.get_ylim()
    gap = 13 / 72 / (figure.get_figheight() * 0.7) * (high - low)  # 13 points, in data units
    roles = sorted(labels, key=labels.__getitem__)
    heights = np.array([labels[role] for role in roles])
    for _ in range(200):
        overlap = np.maximum(gap - np.diff(heights), 0.0)
        heights[:-1] -= overlap / 2
        heights[1:] += overlap / 2
    for role, height in zip(roles, heights, strict=True):
        axes.annotate(
            f"{name(role)}  {labels[role]:,.4g}",
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour(role),
            annotation_clip=False,
        )


def legend(axes: Axes) -> None:
    """Names above the axes, left; more than three take a second row."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.02),
        ncols=3,
        handlelength=1.4,
        borderpad=0.0,
        columnspacing=1.6,
        labelcolor="linecolor",
    )
