"""Datasets of Minari: a folder with `main_data.hdf5`, a group per episode, and `metadata.json`.

    episode_K/observations [L+1, ...]    actions, rewards, terminations, truncations [L, ...]

Actions may be absent from all episodes.

Format: https://minari.farama.org/content/dataset_standards
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from evil import atomic
from evil.demonstrations import checks, hdf5
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec

FILE = "main_data.hdf5"
METADATA = "metadata.json"
MAX_METADATA = 64 * 1024**2  # bytes
VERSION = "0.5.0"  # whose format this is; later ones of 0.5 read it too


def find(path: Path) -> Path | None:
    """The folder of data at `path`, which may be that of the dataset; None if there is none."""
    for folder in (path, path / "data"):
        if (folder / FILE).is_file():
            return folder
    return None


def load(folder: Path, spec: Spec) -> tuple[Demonstrations, dict[str, Any]]:
    """All episodes of a dataset, checked against `spec`, and its metadata.

    Raises `UserError` for anything that is missing, of another shape, or not finite.
    """
    path, meta = folder / FILE, _metadata(folder / METADATA)
    checks.gymnasium_name(path, meta.get("env_spec"), spec)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("obs", "action", "reward")}
    length, terminated = [], []
    action_shape, action_type = checks.row_of_actions(spec)
    with hdf5.opened(path) as file:
        reader = hdf5.Reader(path)
        for name in _episodes(path, file):
            group = reader.entry(file, name)
            if not isinstance(group, hdf5.module().Group):
                raise UserError(f"{path}: {name} is no group of arrays.")
            obs = reader.array(group, "observations", spec.obs_shape)
            steps = len(obs) - 1
            ends = reader.array(group, "terminations", steps=steps, dtype="bool")
            if steps < 1 or ends[:-1].any():
                raise UserError(
                    f"{path}: {name} goes on after it terminated, or has no step: expected one or "
                    "more, and terminations at its last one alone."
                )
            parts["obs"].append(obs)
            if reader.has(group, "actions"):
                acted = reader.array(group, "actions", action_shape, steps=steps, dtype=action_type)
                parts["action"].append(acted)
            parts["reward"].append(reader.array(group, "rewards", steps=steps))
            length.append(steps)
            terminated.append(bool(ends[-1]))
    if len(parts["action"]) not in (0, len(length)):
        raise UserError(
            f"{path}: {len(parts['action'])} of {len(length)} episodes have actions, expected all "
            "or none."
        )
    arrays = {name: np.concatenate(part) for name, part in parts.items() if part}
    arrays |= {"length": np.array(length, np.int32), "terminated": np.array(terminated)}
    return checks.believed(path, arrays, spec), meta


def save(folder: Path, demos: Demonstrations, spec: Spec, *, name: str) -> Path:
    """Write all episodes as the dataset `name`, such as `evil/hopper-v0`; returns the folder.

    UserError if there is something at `folder` already.
    """
    folder, h5py = Path(folder), hdf5.module()
    if folder.exists():
        raise UserError(f"{folder} already exists: expected a new folder.")
    begun = folder.with_name(f".{folder.name}.part")  # what a failure leaves is no dataset
    data = begun / "data"
    with atomic.explained("create", data):
        shutil.rmtree(begun, ignore_errors=True)
        data.mkdir(parents=True)
        with h5py.File(data / FILE, "w") as file:
            for index, steps in enumerate(np.asarray(demos.length).tolist()):
                group = file.create_group(f"episode_{index}")
                group.attrs["id"], group.attrs["total_steps"] = index, steps
                last = np.arange(steps) == steps - 1
                is_terminated = bool(demos.terminated[index])
                group["observations"] = np.asarray(demos.obs[index, : steps + 1])
                if demos.action is not None:
                    action = np.asarray(demos.action[index, :steps])
                    group["actions"] = action.astype(np.int64) if spec.is_discrete else action
                group["rewards"] = np.asarray(demos.reward[index, :steps])
                group["terminations"] = last & is_terminated
                group["truncations"] = last & (not is_terminated)
    meta = {
        "total_episodes": int(demos.length.shape[0]),
        "total_steps": int(demos.length.sum()),
        "data_format": "hdf5",
        "observation_space": json.dumps(_box(spec.obs_shape)),
        "action_space": json.dumps(_actions(spec)),
        "dataset_id": name,
        "minari_version": VERSION,
        "description": f"{spec.name}, {spec.backend}" if spec.backend else spec.name,
    }
    atomic.write(data / METADATA, json.dumps(meta).encode())
    with atomic.explained("create", folder):
        begun.rename(folder)
    return folder


def _box(shape: tuple[int, ...], low: Any = -np.inf, high: Any = np.inf) -> dict[str, Any]:
    bounds = {
        side: np.broadcast_to(x, shape).tolist() for side, x in (("low", low), ("high", high))
    }
    return {"type": "Box", "dtype": "float32", "shape": list(shape), **bounds}


def _actions(spec: Spec) -> dict[str, Any]:
    if spec.is_discrete:
        return {"type": "Discrete", "dtype": "int64", "start": 0, "n": spec.num_actions}
    low, high = spec.action_low or -np.inf, spec.action_high or np.inf
    return _box((spec.action_size,), low, high)


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such file, which every dataset of Minari has.")
    with atomic.explained("read", path):
        if (size := path.stat().st_size) > MAX_METADATA:
            raise UserError(f"{path}: expected at most {MAX_METADATA} bytes, found {size}.")
        text = path.read_bytes()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object.")
    if found.get("data_format", "hdf5") != "hdf5":
        raise UserError(f"{path}: expected data_format hdf5, found {found['data_format']!r}.")
    return found


def _episodes(path: Path, file: Any) -> list[str]:
    numbers = [name.removeprefix("episode_") for name in file if name.startswith("episode_")]
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise UserError(f"{path}: expected groups episode_0, episode_1, ..., found none.")
    return [f"episode_{number}" for number in sorted(numbers, key=int)]
