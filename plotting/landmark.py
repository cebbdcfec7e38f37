"""Whether the recovered reward rose with what the task is about, such as forward velocity."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from plotting import runs, style

Points: TypeAlias = tuple[np.ndarray, np.ndarray]  # x and reward, one of each per step

ROLES = {"expert": "expert", "agent": "irl"}  # name of the arrays → role that gives the colour
MAX_SCATTER = 1500  # beyond so many points their density says more
NUM_BINS = 24
MIN_IN_BIN = 5  # fewer are noise, not a mean


def draw(run: str | Path) -> Path:
    """Draw `figures/landmark.png` of a run and return its path."""
    return style.write(figure(run), run, "landmark.png")


@style.styled
def figure(run: str | Path) -> Figure:
    """Recovered reward against the landmark observation, of the expert's steps and the agent's."""
    points, label = read(run)
    drawn = style.new(columns=2, size=(8.6, 4.4))
    for axes, (who, role) in zip(drawn.axes, ROLES.items(), strict=True):
        x, reward = points[who]
        draw_points(axes, x, reward, style.colour(role))
        centres, means = binned_mean(x, reward)
        axes.plot(centres, means, color="white", linewidth=4.5)
        axes.plot(centres, means, color=style.colour(role), label="mean")
        correlation = pearson(x, reward)
        known = "undefined" if np.isnan(correlation) else f"{correlation:+.2f}"
        axes.set_title(f"{who}: correlation {known}", color=style.colour(role))
        axes.set_xlabel(label)
    drawn.axes[0].set_ylabel("recovered reward")
    style.headline(
        drawn,
        f"Recovered reward against {label}",
        f"{runs.title(run)} · line: mean in bins of {label}",
    )
    return drawn


def read(run: str | Path) -> tuple[dict[str, Points], str]:
    """`({who: (x, reward)}, label)` from `landmark.npz`, without what is not finite."""
    path = Path(run) / "landmark.npz"
    names = [f"{who}_{axis}" for who in ROLES for axis in ("x", "reward")]
    found = runs.arrays(run, path.name, ["label", *names])
    label = str(found["label"])
    try:
        arrays = {name: np.ravel(found[name]).astype(np.float64) for name in names}
    except ValueError as error:
        raise runs.NoData(f"{path}: not the arrays of a landmark ({error}).") from error
    points = {}
    for who in ROLES:
        x, reward = arrays[f"{who}_x"], arrays[f"{who}_reward"]
        if x.shape != reward.shape:
            raise runs.NoData(f"{path}: {len(x)} {who}_x, but {len(reward)} {who}_reward.")
        finite = np.isfinite(x) & np.isfinite(reward)
        if not finite.any():
            raise runs.NoData(f"{path}: no finite point of the {who}.")
        points[who] = (x[finite], reward[finite])
    return points, label


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation, NaN where either does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def binned_mean(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and mean `y` of equal bins of `x` that hold enough points."""
    edges = np.linspace(x.min(), x.max(), NUM_BINS + 1)
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, NUM_BINS - 1)
    counts = np.bincount(index, minlength=NUM_BINS)
    full = counts >= MIN_IN_BIN
    sums = np.bincount(index, weights=y, minlength=NUM_BINS)
    return ((edges[:-1] + edges[1:]) / 2)[full], sums[full] / counts[full]


def draw_points(axes: Axes, x: np.ndarray, reward: np.ndarray, colour: str) -> None:
    """Points one by one while they can be told apart, their density beyond."""
    if len(x) <= MAX_SCATTER:
        axes.scatter(x, reward, s=10, color=colour, alpha=0.25, linewidth=0)
        return
    shades = LinearSegmentedColormap.from_list("density", ["#F4F4F4", colour])
    axes.hexbin(x, reward, gridsize=45, bins="log", mincnt=1, cmap=shades, alpha=0.6, linewidths=0)
