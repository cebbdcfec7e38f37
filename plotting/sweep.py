"""A sweep: what each hyper-parameter is worth, all of them together, and how the lanes learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from plotting import runs, style

SHADES = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.92, 256)))  # no pale yellow
WIDE = 3.2  # inches a panel
DECADE = 10.0  # ratio from which on values are drawn on a logarithmic scale


def draw(run: str | Path) -> Path:
    """Draw `sweep.png`, and its companions beside it; returns the path of the first."""
    entries, fields = ranking(run)
    style.write(parallel(run, entries, fields), run, "sweep_parallel.png")
    if (learned := learning(run, entries)) is not None:
        style.write(learned, run, "sweep_learning.png")
    return style.write(responses(run, entries, fields), run, "sweep.png")


def ranking(run: str | Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The ranked points of a sweep, and the fields that differ between them."""
    entries = runs.summary(run).get("ranking")
    if not entries:
        raise runs.NoData(f"{run}: no ranking of points.")
    return entries, list(entries[0]["point"])


def shade(value: float, entries: Sequence[dict[str, Any]]) -> Any:
    """The colour of an objective among those of all points."""
    return SHADES(_norm(entries)(value))


def _norm(entries: Sequence[dict[str, Any]]) -> Normalize:
    worth = [entry["objective"] for entry in entries]
    return Normalize(min(worth), max(worth) if max(worth) > min(worth) else min(worth) + 1.0)


@style.styled
def responses(run: str | Path, entries: list[dict[str, Any]], fields: list[str]) -> Figure:
    """A panel per field with every lane."""
    size = (max(7.0, WIDE * len(fields) + 1.2), 4.2)
    drawn = style.new(columns=len(fields), size=size, free=True)
    for name, axes in zip(fields, drawn.axes, strict=True):
        response(axes, name, entries)
    drawn.axes[0].set_ylabel("objective")
    seeds = len(entries[0]["per_seed"])
    subtitle = f"Every lane is a dot, {seeds} per point; bars are interquartile means."
    style.headline(drawn, runs.title(run), subtitle)
    return drawn


def response(axes: Axes, name: str, entries: list[dict[str, Any]]) -> None:
    """Objectives of all lanes over one field."""
    places, ticks = scale([entry["point"][name] for entry in entries])
    for place, entry in zip(places, entries, strict=True):
        colour = shade(entry["objective"], entries)
        axes.plot([place] * len(entry["per_seed"]), entry["per_seed"], "o", color=colour,
                  alpha=0.45, markersize=4)  # fmt: skip
        axes.plot([place], [entry["objective"]], "_", color=colour, markersize=16,
                  markeredgewidth=2.4)  # fmt: skip
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    axes.set_xlabel(short(name))
    axes.margins(x=0.12)


@style.styled
def parallel(run: str | Path, entries: list[dict[str, Any]], fields: list[str]) -> Figure:
    """Parallel coordinates: a vertical axis per field and one for the objective."""
    drawn = style.new(size=(max(7.0, WIDE * len(fields) + 1.2), 4.2))
    axes = drawn.axes[0]
    names = [*fields, "objective"]
    heights = np.zeros((len(entries), len(names)))
    for column, name in enumerate(fields):
        places, ticks = scale([entry["point"][name] for entry in entries])
        heights[:, column] = unit(places, places)
        for height, (_, text) in zip(unit([x for x, _ in ticks], places), ticks, strict=True):
            axes.annotate(text, (column, height), xytext=(-5, 0), textcoords="offset points",
                          ha="right", va="center", fontsize=8.5, color=style.QUIET)  # fmt: skip
    worth = [entry["objective"] for entry in entries]
    heights[:, -1] = unit(worth, worth)
    for row, entry in zip(heights, entries, strict=True):
        axes.plot(range(len(names)), row, color=shade(entry["objective"], entries), alpha=0.85)
    axes.set_xticks(range(len(names)), [short(name) for name in names])
    axes.set_xlim(-0.35, len(names) - 0.9)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    colour_bar(drawn, entries)
    style.headline(drawn, runs.title(run), "Every point is a line through its values.")
    return drawn


@style.styled
def learning(run: str | Path, entries: list[dict[str, Any]]) -> Figure | None:
    """True returns while learning, a line per point: interquartile means over its seeds.

    None where nothing acts while it learns.
    """
    logged = runs.with_episodes(runs.records(run))
    lanes = runs.summary(run)["lanes"]
    curves = {
        phase: runs.curve(logged, phase, "agent/return")
        for phase in dict.fromkeys(row["phase"] for row in lanes)
    }
    if not all(curves.values()):
        return None
    drawn = style.new()
    axes = drawn.axes[0]
    for entry in reversed(entries):  # the best on top
        own = [row for row in lanes if row["point"] == entry["point"]]
        colour = shade(entry["objective"], entries)
        for phase in dict.fromkeys(row["phase"] for row in own):  # more than one if it was cut
            curve, names = curves[phase], {row["lane"] for row in own if row["phase"] == phase}
            assert curve is not None
            # A lane that broke at once has logged nothing.
            values = curve.values[:, [name in names for name in curve.names]]
            some = ~np.isnan(values).all(axis=1)
            mean = [runs.interquartile_mean(row[~np.isnan(row)]) for row in values[some]]
            axes.plot(curve.steps[some], mean, color=colour)
    style.step_axis(axes)
    axes.set_ylabel("true return while learning")
    colour_bar(drawn, entries)
    subtitle = f"A line per point, interquartile mean of {len(entries[0]['per_seed'])} seeds."
    style.headline(drawn, runs.title(run), subtitle)
    return drawn


def colour_bar(drawn: Figure, entries: Sequence[dict[str, Any]]) -> None:
    """What colours mean, right of the axes."""
    bar = drawn.colorbar(ScalarMappable(_norm(entries), SHADES), ax=drawn.axes[0], pad=0.01)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.set_label("objective")


def scale(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values lie on an axis, and its ticks: logarithms, numbers, or names in a row."""
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        is_log = min(values) > 0 and max(values) / min(values) >= DECADE
        places = [math.log10(x) if is_log else float(x) for x in values]
        distinct = sorted(set(zip(places, values, strict=True)))
        chosen = distinct if len(distinct) <= 6 else [distinct[0], distinct[-1]]
        return places, [(place, f"{value:.3g}") for place, value in chosen]
    names = [str(x) for x in values]
    order = {name: float(index) for index, name in enumerate(dict.fromkeys(names))}
    return [order[name] for name in names], [(place, name) for name, place in order.items()]


def unit(places: Sequence[float], among: Sequence[float]) -> np.ndarray:
    """Heights between 0 and 1; in the middle if all are equal."""
    low, high = min(among), max(among)
    if high == low:
        return np.full(len(places), 0.5)
    return (np.asarray(places) - low) / (high - low)


def short(path: str) -> str:
    """A field's path as far as a reader needs it: its last two parts."""
    return ".".join(path.split(".")[-2:])
