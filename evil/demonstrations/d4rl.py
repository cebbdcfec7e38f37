"""Files of D4RL: one HDF5 file with the steps of all episodes end to end.

    observations, rewards, terminals [N, ...]    actions, timeouts, next_observations where known

An episode ends where `terminals` or `timeouts` says so; what follows the last end is left out.
Where no `next_observations` say what its last step led to, that step is left out as well, unless it
terminated.

Reference: fu2020d4rl
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evil.demonstrations import checks, episodes, hdf5
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec


def load(path: Path, spec: Spec) -> tuple[Demonstrations, dict[str, Any]]:
    """All episodes of a file, checked against `spec`, and what it says of itself, which is nothing.

    Raises `UserError` for anything that is missing, of another shape, or not finite.
    """
    action_shape, action_type = checks.row_of_actions(spec)
    with hdf5.opened(path) as file:
        reader = hdf5.Reader(path)
        obs = reader.array(file, "observations", spec.obs_shape)
        steps = len(obs)
        if not steps:
            raise UserError(f"{path}: observations has no rows.")
        action = None
        if reader.has(file, "actions"):
            action = reader.array(file, "actions", action_shape, steps=steps, dtype=action_type)
        reward = reader.array(file, "rewards", steps=steps)
        terminal = reader.array(file, "terminals", steps=steps, dtype="bool")
        timeout = np.zeros(steps, bool)
        if reader.has(file, "timeouts"):
            timeout = reader.array(file, "timeouts", steps=steps, dtype="bool")
        following = None
        if reader.has(file, "next_observations"):
            following = reader.array(file, "next_observations", spec.obs_shape, steps=steps)
    arrays = episodes.split(
        path,
        obs=obs,
        action=action,
        reward=reward,
        terminal=terminal,
        timeout=timeout,
        following=following,
    )
    return checks.believed(path, arrays, spec), {}
