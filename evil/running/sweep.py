"""Many hyper-parameters in one compiled program: every point of a grid is a lane.

A field is traced if the `Hyper` of its config's module has it: where `init` would read the config,
a lane's own value takes its place. Points that differ in traced fields alone share programs; every
other field is part of a program, so its values are run one after the other.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from evil import pytrees
from evil.errors import UserError, at_least, unknown
from evil.running.phase import Phase
from evil.seams import Algorithm, Key, Metrics, PyTree

GRIDS = {"lin": np.linspace, "log": np.geomspace}
DRAWS: dict[str, Callable[..., Any]] = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "loguniform": lambda rng, low, high: math.exp(rng.uniform(math.log(low), math.log(high))),
}
MAX_POINTS = 10_000
PASSED = ("algorithm", "member")  # configs that a path may leave out

Point = dict[str, Any]  # value by complete path


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a config."""

    path: str  # dotted and complete
    hyper: type | None  # the pytree that holds its value in a program, if it is traced

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def locate(config: Any, path: str) -> Field:
    """The field at a dotted path, which may leave out `algorithm` and `member`.

    UserError, with near names, if there is none, or if what is there has fields of its own.
    """
    complete: list[str] = []
    for name in path.split("."):
        known = _fields(config)
        while name not in known and (passed := [x for x in PASSED if _fields(known.get(x))]):
            complete.append(passed[0])
            config = known[passed[0]]
            known = _fields(config)
        if name not in known:
            raise unknown(f"field of {type(config).__module__}", name, known)
        complete.append(name)
        owner, config = config, known[name]
    if inner := _fields(config):
        raise UserError(f"{path} is a config: expected one of its fields, {', '.join(inner)}.")
    hyper = getattr(sys.modules[type(owner).__module__], "Hyper", None)
    traced = hyper is not None and complete[-1] in {x.name for x in dataclasses.fields(hyper)}
    return Field(path=".".join(complete), hyper=hyper if traced else None)


def _fields(config: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(config):
        return {}
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def points(config: Any, texts: Sequence[str], num_draws: int = 0, seed: int = 0) -> list[Point]:
    """What a sweep such as `learner.learning_rate=1e-4,1e-3` asks for.

    name=a,b,c              these values
    name=lin:a:b:n          n values from a to b, evenly spaced
    name=log:a:b:n          the same on a logarithmic scale
    name=uniform:a:b        drawn at random, like
    name=loguniform:a:b     this, `num_draws` times, for all such names together

    The points are all combinations of the grids, each with all of the draws. Tuples are written as
    JSON, [64,64].
    """
    at_least(0, num_draws=num_draws)
    grids: dict[str, list[Any]] = {}
    draws: dict[str, Callable[[np.random.Generator], float]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise UserError(f"--sweep {text!r}: expected name=values, like learner.clip=0.1,0.2.")
        path = locate(config, name).path
        if path in grids or path in draws:
            raise UserError(f"--sweep names {path} twice.")
        kind, *numbers = values.split(":")
        if kind in DRAWS:
            low, high = _numbers(text, numbers, 2, positive=kind == "loguniform")
            if low >= high:
                raise UserError(f"--sweep {text!r}: expected the lower bound first.")
            draws[path] = lambda rng, kind=kind, low=low, high=high: DRAWS[kind](rng, low, high)
        elif kind in GRIDS:
            low, high, count = _numbers(text, numbers, 3, positive=kind == "log")
            if count != int(count) or not 1 <= count <= MAX_POINTS:
                raise UserError(
                    f"--sweep {text!r}: expected a whole number of values up to {MAX_POINTS}."
                )
            grids[path] = [float(x) for x in GRIDS[kind](low, high, int(count))]
        else:
            grids[path] = [_value(text, part) for part in re.split(r",(?![^\[]*\])", values)]
    if bool(draws) != bool(num_draws):
        raise UserError(
            f"--num_draws is {num_draws} with {len(draws)} random ranges in --sweep: expected "
            "both or neither."
        )
    total = math.prod(map(len, grids.values())) * max(num_draws, 1)
    if total > MAX_POINTS:
        raise UserError(f"--sweep asks for {total} points, expected at most {MAX_POINTS}.")
    for path, values in grids.items():
        if len({json.dumps(value) for value in values}) < len(values):
            raise UserError(f"--sweep names a value of {path} twice.")
    rng = np.random.default_rng(seed)
    drawn = [{path: draw(rng) for path, draw in draws.items()} for _ in range(num_draws)] or [{}]
    combined = [dict(zip(grids, row, strict=True)) for row in itertools.product(*grids.values())]
    return [grid | draw for grid in combined for draw in drawn]


def _numbers(text: str, parts: list[str], count: int, *, positive: bool) -> list[float]:
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise UserError(f"--sweep {text!r}: expected {count} numbers after the kind.")
    if positive and min(found[:2]) <= 0:
        raise UserError(f"--sweep {text!r}: a logarithmic scale needs bounds above 0.")
    return found


def _value(text: str, part: str) -> Any:
    """What JSON makes of a part, a number that it does not know (1e-3, .5), or else the part."""
    try:
        value = json.loads(part)
    except (ValueError, RecursionError):
        try:
            value = float(part)
        except ValueError:
            return part
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"--sweep {text!r}: expected finite numbers, found {part}.")
    return value


def swept(algorithm: Algorithm, fields: Sequence[Field]) -> Algorithm:
    """The algorithm with `data = {"given": its own, "point": value [] by path}`."""

    def init(key: Key, data: PyTree) -> PyTree:
        values = {(field.hyper, field.name): data["point"][field.path] for field in fields}
        with pytrees.instead(values) as read:  # pyright: ignore[reportArgumentType]
            state = algorithm.init(key, data["given"])
        unread = [field.path for field in fields if (field.hyper, field.name) not in read]
        if unread:
            paths = ", ".join(sorted(unread))
            raise UserError(f"{paths} cannot be swept: no part of the algorithm reads it.")
        return state

    def step(state: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        return algorithm.step(state, data["given"])

    return dataclasses.replace(algorithm, init=init, step=step)


def spread(phase: Phase, fields: Sequence[Field], points: Sequence[Point]) -> Phase:
    """A phase whose lanes are all points, each with all of the lanes that the phase has now.

    Every point begins with the same keys. Data with an axis of lanes must have one entry per lane
    already, of the first point's lanes first.
    """
    lanes = phase.lanes
    values = {
        field.path: np.repeat([np.float32(point[field.path]) for point in points], lanes)
        for field in fields
    }
    return dataclasses.replace(
        phase,
        algorithm=swept(phase.algorithm, fields),
        data={"given": phase.data, "point": values},
        data_axes={"given": phase.data_axes, "point": 0},
        keys=jnp.tile(phase.keys, len(points)),
        groups=(),
    )
