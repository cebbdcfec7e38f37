"""Episodes out of steps that were recorded end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evil.errors import UserError


def split(
    path: Path,
    *,
    obs: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminal: np.ndarray,
    timeout: np.ndarray,
    following: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of episodes end to end, as `checks.believed` takes them, of N steps `[N, ...]`.

    An episode ends where `terminal` or `timeout` says so, or the steps do. Where no `following`
    says what its last step led to, that step is left out. UserError if no step remains.
    """
    steps = len(obs)
    ends = np.flatnonzero(terminal | timeout) + 1
    ends = ends if len(ends) and ends[-1] == steps else np.append(ends, steps)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("obs", "action", "reward")}
    length, terminated = [], []
    for start, end in zip(np.append(0, ends[:-1]), ends, strict=True):
        stop = end if following is not None else end - 1
        if stop == start:
            continue  # a single step that led nobody knows where
        last = obs[stop : stop + 1] if following is None else following[end - 1 : end]
        parts["obs"] += [obs[start:stop], last]
        parts["action"].append(action[start:stop])
        parts["reward"].append(reward[start:stop])
        length.append(int(stop - start))
        terminated.append(bool(terminal[stop - 1]))
    if not length:
        raise UserError(f"{path}: expected an episode of two steps or more, found none.")
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return arrays | {"length": np.array(length, np.int32), "terminated": np.array(terminated)}
