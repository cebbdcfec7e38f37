"""The run directory: where everything about one run is found, during it and ever after."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from evil import atomic
from evil.errors import UserError
from evil.running import files

PACKAGES = (
    "evil", "jax", "jaxlib", "numpy", "flax", "optax", "chex", "distrax", "brax", "mujoco",
    "mujoco-mjx", "gymnax", "evosax", "safetensors",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """The paths of one run. Make one with `create` or `open`, which check what is on disk."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> RunDirectory:
        """Start a run at `path`, which must be free, by recording what it is a run of.

        A folder in which only an attempt at this was killed is free.
        """
        directory = cls(Path(path).expanduser().absolute())
        with atomic.explained("use", directory.path):
            is_folder = directory.path.is_dir()
            if is_folder:
                atomic.clear(directory.config)
            taken = any(directory.path.iterdir()) if is_folder else directory.path.exists()
        if taken:
            raise UserError(
                f"{directory.path} already exists: continue that run with --resume {path}, "
                "or choose another --out."
            )
        with _made(directory.path):
            files.write_json(directory.config, {"config": config, **_surroundings()})
        return directory

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """The run at `path`, to be read or resumed."""
        directory = cls(Path(path).expanduser().absolute())
        if not directory.config.is_file():
            raise UserError(f"{directory.path} is not a run directory: it has no config.json.")
        directory.read_config()
        return directory

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def cuts(self) -> Path:
        """How many lanes of each phase run at a time."""
        return self.path / "lanes_per_program.json"

    @property
    def policy(self) -> Path:
        return self.path / "policy"

    @property
    def reward(self) -> Path:
        return self.path / "reward"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def read_config(self) -> dict[str, Any]:
        """The resolved config this run was started with, as plain data."""
        config = files.read_json(self.config).get("config")
        if not isinstance(config, dict):
            raise UserError(f"{self.config} is corrupt: it has no object named 'config'.")
        return config

    def check_same_config(self, config: Mapping[str, Any]) -> None:
        """Refuse to continue a run under another config than its own."""
        difference = _first_difference(self.read_config(), files.plain(config))
        if difference:
            field, ours, theirs = difference
            raise UserError(
                f"{self.path} was run with {field}={ours}, now asked for {field}={theirs}: "
                "resume with the same config, or choose another --out."
            )

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the result of the run; what is not a finite number becomes null."""
        files.write_json(self.summary, summary)

    def read_summary(self) -> dict[str, Any]:
        """The result of the run, which exists once the run has ended."""
        if not self.summary.is_file():
            raise UserError(f"{self.path} has no summary.json: the run has not finished.")
        return files.read_json(self.summary)


@contextlib.contextmanager
def _made(path: Path) -> Any:
    """A folder and its missing parents, which disappear again if the body fails."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    made: list[Path] = []
    try:
        with atomic.explained("create", path):
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
        yield
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which numbers depend."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _surroundings() -> dict[str, Any]:
    """What, besides the config, a result may depend on."""
    device = jax.devices()[0]
    return {
        "versions": versions(),
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
        },
        "command": list(sys.argv),
    }


_ABSENT = object()


def _first_difference(ours: Any, theirs: Any, field: str = "") -> tuple[str, str, str] | None:
    """The first dotted field whose values differ, with both values as text."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in dict.fromkeys([*ours, *theirs]):
            inner = f"{field}.{name}" if field else name
            found = _first_difference(ours.get(name, _ABSENT), theirs.get(name, _ABSENT), inner)
            if found:
                return found
        return None
    same = type(ours) is type(theirs) or {type(ours), type(theirs)} == {int, float}
    return None if same and ours == theirs else (field, _shown(ours), _shown(theirs))


def _shown(value: Any) -> str:
    return "(absent)" if value is _ABSENT else repr(value)
