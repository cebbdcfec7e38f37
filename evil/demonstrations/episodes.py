"""Episodes out of steps that were recorded end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evil.errors import UserError


def split(
    path: Path,
    *,
    obs: np.ndarray,
    action: np.ndarray | None,
    reward: np.ndarray,
    terminal: np.ndarray,
    timeout: np.ndarray,
    following: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of episodes end to end, as `checks.believed` takes them, of N steps `[N, ...]`.

    An episode ends where `terminal` or `timeout` says so; steps after the last end are left out, as
    nobody knows how they went on. Where no `following` says what the last step of an episode led
    to, that step is left out as well, unless it terminated: then it counts as having led to where
    it began, for nothing is worth anything after an end. UserError if no step remains.
    """
    ends = np.flatnonzero(terminal | timeout) + 1
    if not len(ends):
        raise UserError(
            f"{path}: no step is marked as the last of its episode, expected one or more."
        )
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("obs", "action", "reward")}
    length, terminated = [], []
    for start, end in zip(np.append(0, ends[:-1]), ends, strict=True):
        is_terminated = bool(terminal[end - 1])
        stop = end if is_terminated or following is not None else end - 1
        if stop == start:
            continue  # a single step that led nobody knows where
        last = (obs if following is None else following)[end - 1 : end]
        parts["obs"] += [obs[start:stop], last]
        if action is not None:
            parts["action"].append(action[start:stop])
        parts["reward"].append(reward[start:stop])
        length.append(int(stop - start))
        terminated.append(is_terminated)
    if not length:
        raise UserError(f"{path}: expected an episode of two steps or more, found none.")
    arrays = {name: np.concatenate(part) for name, part in parts.items() if part}
    return arrays | {"length": np.array(length, np.int32), "terminated": np.array(terminated)}
