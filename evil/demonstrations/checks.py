"""Whether the arrays of a demonstrations file agree with each other and with an environment.

Every check raises `UserError` with one sentence: the file, what was expected, what was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evil.demonstrations import archives
from evil.demonstrations.demonstrations import Demonstrations, from_concatenated
from evil.errors import UserError
from evil.seams import Spec

TOLERANCE = 1e-4  # of action bounds, absolute: rounding, which is clipped away

Arrays = Mapping[str, np.ndarray]


def environment(path: Path, found: Spec, expected: Spec) -> None:
    """The file was recorded in this environment, physics backend, and set of actions."""
    for what, field in (
        ("environment", "name"),
        ("backend", "backend"),
        ("observation shape", "obs_shape"),
        ("number of discrete actions", "num_actions"),
        ("action size", "action_size"),
    ):
        ours, theirs = getattr(expected, field), getattr(found, field)
        if ours != theirs:
            raise UserError(f"{path}: expected {what} {ours!r}, found {theirs!r}.")


def believed(path: Path, arrays: dict[str, np.ndarray], spec: Spec) -> Demonstrations:
    """The demonstrations that arrays stored end to end make up, if nothing is wrong with them.

    They need not have an `action`.
    """
    shapes(path, arrays, spec)
    finite(path, arrays)
    if "action" in arrays:
        arrays = arrays | {"action": actions(path, arrays, spec)}
    return from_concatenated(**arrays)


def row_of_actions(spec: Spec) -> tuple[tuple[int, ...], str]:
    """The shape of one action, and the dtype of all."""
    return ((), "int32") if spec.is_discrete else ((spec.action_size,), "float32")


def gymnasium_name(path: Path, described: Any, expected: Spec) -> None:
    """What a file says of its environment, as Gymnasium does, names the expected one.

    Versions are not compared: none of Gymnasium's has the physics of an environment here.
    """
    if not isinstance(described, str):
        return
    found = re.search(r'"id": *"(?:[^"/]*/)?([^"]+?)(?:-v\d+)?"', described)
    ours = re.sub(r"-v\d+$", "", expected.name)
    if found and found[1].lower() != ours.lower():
        raise UserError(f"{path}: expected environment {expected.name!r}, found {found[1]!r}.")


def shapes(path: Path, arrays: Arrays, spec: Spec) -> None:
    """The arrays have the lengths that `length` implies, and the shapes of `spec`."""
    length = arrays["length"]
    if length.ndim != 1 or length.size == 0:
        raise UserError(f"{path}: expected one episode or more, found lengths of {length.shape}.")
    if length.min() < 1:
        where = int(length.argmin())
        raise UserError(f"{path}: episode {where} has {length[where]} steps, expected 1 or more.")
    steps, episodes = int(length.sum(dtype=np.int64)), len(length)
    action_shape, expected = row_of_actions(spec)
    for name, shape in (
        ("action", (steps, *action_shape)),
        ("obs", (steps + episodes, *spec.obs_shape)),
        ("reward", (steps,)),
        ("terminated", (episodes,)),
    ):
        if name in arrays and arrays[name].shape != shape:
            raise UserError(
                f"{path}: {name} has shape {arrays[name].shape}, expected {shape} "
                f"for {episodes} episodes of {steps} steps together."
            )
    if "action" in arrays and (found := arrays["action"].dtype) != expected:
        raise UserError(f"{path}: action has dtype {found}, expected {expected} in {spec.name}.")
    per_step = [name for name in ("obs", "action", "reward") if name in arrays]
    row_bytes = sum(arrays[name][0].nbytes for name in per_step)
    padded = episodes * (int(length.max()) + 1) * row_bytes
    if padded > archives.MAX_BYTES:
        raise UserError(
            f"{path}: padded to the longest episode it would take {padded} bytes, expected at "
            f"most {archives.MAX_BYTES}."
        )


def finite(path: Path, arrays: Arrays) -> None:
    """No NaN and no infinity anywhere."""
    for name in [name for name in ("obs", "action", "reward") if name in arrays]:
        broken = ~np.isfinite(arrays[name])
        if broken.any():
            row, *rest = (int(index) for index in np.argwhere(broken)[0])
            value = arrays[name][(row, *rest)]
            place = _place(arrays["length"], row, extra=int(name == "obs"))
            entry = f", entry {tuple(rest)}" if rest else ""
            raise UserError(f"{path}: {name} is {value} at {place}{entry}, expected finite values.")


def actions(path: Path, arrays: Arrays, spec: Spec) -> np.ndarray:
    """The actions, all within the set or the bounds of `spec`; rounding beyond is clipped."""
    action = arrays["action"]
    if spec.num_actions is not None:
        outside = (action < 0) | (action >= spec.num_actions)
        allowed = f"an index from 0 to {spec.num_actions - 1}"
    elif spec.action_low and spec.action_high:
        low, high = (np.array(x, np.float32) for x in (spec.action_low, spec.action_high))
        outside = ((action < low - TOLERANCE) | (action > high + TOLERANCE)).any(axis=1)
        allowed = f"between {list(spec.action_low)} and {list(spec.action_high)}"
        action = np.clip(action, low, high)
    else:
        return action
    if outside.any():
        row = int(outside.argmax())
        place = _place(arrays["length"], row)
        raise UserError(
            f"{path}: action is {arrays['action'][row].tolist()} at {place}, expected {allowed}."
        )
    return action


def _place(length: np.ndarray, row: int, extra: int = 0) -> str:
    """Where row `row` of concatenated episodes lies, each with `extra` rows beyond its steps."""
    ends = np.cumsum(length.astype(np.int64) + extra)
    episode = int(np.searchsorted(ends, row, side="right"))
    step = row - int(ends[episode]) + int(length[episode]) + extra
    return f"step {step} of episode {episode} (counting from 0)"
