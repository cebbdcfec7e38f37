"""Reading a run directory: `metrics.jsonl`, `summary.json`, and curves over seeds from them."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plotting import style


class NoData(ValueError):
    """The run has not recorded what a figure shows: one sentence that says what is missing."""


MAX_BYTES = 64 * 1024**2  # of a JSON document, or of an array
MAX_LINE = 1024**2  # of metrics
MAX_METRICS = 512 * 1024**2  # of all lines, which a figure holds in memory
MIN_FOR_INTERVAL = 4
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Curve:
    """One metric of one phase over environment steps, for every lane (seed) that logged it."""

    steps: np.ndarray  # [K]
    values: np.ndarray  # [K, lanes], NaN where a lane has no finite value
    names: tuple[Any, ...] = ()  # of the lanes, as they were logged

    @property
    def mean(self) -> np.ndarray:
        """Interquartile mean over the lanes that have a value: `[K]`."""
        return np.array([interquartile_mean(row[~np.isnan(row)]) for row in self.values])

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """95 % bootstrap interval of the mean; of fewer than four lanes, smallest and largest."""
        if self.lanes < MIN_FOR_INTERVAL:
            return np.nanmin(self.values, axis=1), np.nanmax(self.values, axis=1)
        intervals = [bootstrap(row[~np.isnan(row)]) for row in self.values]
        low, high = np.array(intervals).T
        return low, high

    @property
    def lanes(self) -> int:
        return self.values.shape[1]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without its lowest and highest quarter, rounded down."""
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


def bootstrap(values: np.ndarray) -> np.ndarray:
    """Percentiles 2.5 and 97.5 of the interquartile mean over resamples; always the same ones."""
    chosen = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return np.quantile(interquartile_mean(values[chosen]), [0.025, 0.975])


def records(run: str | Path) -> list[dict[str, Any]]:
    """The records of `metrics.jsonl`; a last line that is still being written is left out."""
    path = Path(run) / "metrics.jsonl"
    if not path.is_file():
        raise NoData(f"{path}: no such file.")
    found = []
    with path.open("rb") as stream:
        while line := stream.readline(MAX_LINE + 1):
            where = f"{path}: line {len(found) + 1}"
            if len(line) > MAX_LINE or stream.tell() > MAX_METRICS:
                raise NoData(
                    f"{where} is too much: expected {MAX_LINE} bytes at most, {MAX_METRICS} in all."
                )
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                if stream.read(1):
                    raise NoData(f"{where} is not JSON.") from None
                break
            if not isinstance(record, dict):
                raise NoData(f"{where} is not a JSON object.")
            if not isinstance(record.get("lane", 0), int):
                raise NoData(f"{where} is of a lane that is no whole number.")
            found.append(record)
    return found


def document(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    if not path.is_file():
        raise NoData(f"{path}: no such file.")
    with path.open("rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    try:
        found = json.loads(text) if len(text) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NoData(f"{path}: not a JSON object of at most {MAX_BYTES} bytes.")
    return found


def summary(run: str | Path) -> dict[str, Any]:
    """`summary.json`, or nothing while the run has not finished."""
    path = Path(run) / "summary.json"
    return document(path) if path.is_file() else {}


def arrays(run: str | Path, file_name: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Named arrays of an npz file of a run, as it has them."""
    path = Path(run) / file_name
    if not path.is_file():
        raise NoData(f"{path}: no such file.")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, name) for name in names}
    except Exception as error:  # parsers of hostile bytes raise anything
        raise NoData(f"{path}: not the arrays of a {path.stem} ({error}).") from error


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an archive, whose header is not believed before its bytes are there."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > MAX_BYTES:
        raise ValueError(f"{name} takes more than {MAX_BYTES} bytes")
    stream = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name} is not in version 1.0 of the npy format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    content = np.frombuffer(stream.read(), dtype)  # which refuses objects
    return content.reshape(shape, order="F" if is_fortran else "C").copy()


def number(value: Any) -> float | None:
    """A finite number from a summary's entry: a number, `{"mean": number}`, or nothing."""
    if isinstance(value, dict):
        value = value.get("mean")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def with_episodes(logged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the records from before any episode has ended, whose return is a mere zero."""
    return [record for record in logged if record.get("agent/length") != 0]


def kind(run: str | Path) -> str:
    """The module of a run's config, as evil.experiments.recover; nothing where none is said."""
    try:
        return str(document(Path(run) / "config.json")["config"]["type"])
    except (OSError, NoData, KeyError, TypeError):
        return ""


def phases(logged: Sequence[dict[str, Any]]) -> list[str]:
    """The phases of a run, in the order in which they began."""
    return list(dict.fromkeys(str(record.get("phase", "")) for record in logged))


def curve(logged: Sequence[dict[str, Any]], phase: str, metric: str) -> Curve | None:
    """One metric of one phase, or None if it was never logged with a finite value.

    Where a lane logged the same step twice, as after a resume, the last value counts.
    """
    points: dict[tuple[float, Any], float] = {}
    for record in logged:
        value, steps = number(record.get(metric)), number(record.get("env_steps"))
        if str(record.get("phase", "")) == phase and value is not None and steps is not None:
            points[steps, record.get("lane", 0)] = value
    if not points:
        return None
    steps = {step: row for row, step in enumerate(sorted({step for step, _ in points}))}
    lanes = {lane: column for column, lane in enumerate(sorted({lane for _, lane in points}))}
    values = np.full((len(steps), len(lanes)), np.nan)
    for (step, lane), value in points.items():
        values[steps[step], lanes[lane]] = value
    return Curve(steps=np.array(list(steps)), values=values, names=tuple(lanes))


def title(run: str | Path) -> str:
    """What was run where, as far as the summary says: `IRL++ on hopper (positional)`."""
    found = summary(run)
    env, backend = found.get("env"), found.get("backend")
    place = f"{env} ({backend})" if env and backend else str(env or Path(run).resolve().name)
    algorithm = str(found.get("algorithm", ""))
    return f"{style.ALGORITHMS.get(algorithm, algorithm)} on {place}" if algorithm else place


def spread(curves: Sequence[Curve]) -> str:
    """What line and band of these curves are, for a subtitle."""
    fewest, most = (choose(curve.lanes for curve in curves) for choose in (min, max))
    if most == 1:
        return "one seed"
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    if most < MIN_FOR_INTERVAL:
        return f"mean of {number} seeds, range shaded"
    return f"interquartile mean of {number} seeds, 95 % bootstrap interval shaded"
