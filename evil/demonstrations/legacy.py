"""Experts of the original EvIL code: a pickle of a dict, of which the arrays alone are read.

    expert_obsv [N, T, obs]      expert_actions [(1,) T, N(, act)]
    expert_rewards, expert_dones [(1,) T, N]

N trajectories of T steps run through several episodes. What the last step of an episode led to was
not recorded, nor whether it terminated, so that step is left out. Actions were recorded as they
were sampled, and are clipped as the environment clipped them. Observations are taken as they are:
those of continuous tasks had already been normalised by the expert's own running moments, which the
file does not suffice to undo.

Reference: sapora2024evil
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evil.demonstrations import checks, episodes, pickled
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec


def load(path: Path, spec: Spec) -> tuple[Demonstrations, dict[str, Any]]:
    """All episodes of a file, checked against `spec`, and what it says of itself, which is nothing.

    Raises `UserError` for anything that is missing, of another shape, or not finite.
    """
    found = pickled.read(path)
    obs = _array(path, found, "expert_obsv", None)
    if obs.ndim != 2 + len(spec.obs_shape) or obs.shape[2:] != spec.obs_shape:
        row = ", ".join(map(str, spec.obs_shape))
        raise UserError(f"{path}: expert_obsv has shape {obs.shape}, expected (N, T, {row}).")
    lanes, steps = obs.shape[:2]
    if not obs.size:
        raise UserError(f"{path}: expert_obsv has no rows.")
    action_row, action_type = checks.row_of_actions(spec)
    action = _array(path, found, "expert_actions", (steps, lanes, *action_row))
    if (action.dtype.kind in "iu") != spec.is_discrete:
        raise UserError(f"{path}: expert_actions has dtype {action.dtype}, not of {spec.name}.")
    reward = _array(path, found, "expert_rewards", (steps, lanes))
    done = _array(path, found, "expert_dones", (steps, lanes)).astype(bool).T
    action, reward = np.swapaxes(action, 0, 1), reward.T
    if spec.action_low and spec.action_high:
        action = np.clip(action, spec.action_low, spec.action_high)
    cut = np.zeros_like(done)
    cut[:, -1] = True
    flat = {
        name: array.reshape(lanes * steps, *array.shape[2:])
        for name, array in {"obs": obs, "action": action, "reward": reward}.items()
    }
    arrays = episodes.split(
        path,
        obs=_cast(path, flat["obs"], "float32"),
        action=_cast(path, flat["action"], action_type),
        reward=_cast(path, flat["reward"], "float32"),
        terminal=np.zeros(lanes * steps, bool),
        timeout=(done | cut).reshape(-1),
    )
    return checks.believed(path, arrays, spec), {}


def _cast(path: Path, array: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers of another type; what is too large for it is no longer finite, or refused here."""
    if dtype == "int32" and array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
        raise UserError(f"{path}: expert_actions goes beyond 32 bits.")
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


def _array(
    path: Path, found: dict[str, Any], name: str, shape: tuple[int, ...] | None
) -> np.ndarray:
    """The array called `name`; of this shape, if one is given, or with an axis of one seed."""
    array = found.get(name)
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: expected an array {name}, found none.")
    if shape is not None and array.shape == (1, *shape):
        array = array[0]
    if shape is not None and array.shape != shape:
        raise UserError(f"{path}: {name} has shape {array.shape}, expected {shape}.")
    return array
