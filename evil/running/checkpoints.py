"""Checkpoints of whole phases: complete or absent, and checked byte by byte before use.

    checkpoints/<phase>/<iteration>/state.safetensors   the leaves
                                   /meta.json           the runner's position, what the leaves are,
                                                        the format of both, versions of the packages

A checkpoint is assembled under a hidden name and appears by a rename, so a kill leaves nothing
that could be mistaken for one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from evil import atomic
from evil.errors import UserError
from evil.running import directory, files, leaves
from evil.running.weights import SUFFIX
from evil.seams import PyTree

FORMAT = 2  # of both files: to be raised when either is read differently
STATE = f"state{SUFFIX}"


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint on disk, of which only the metadata have been read."""

    path: Path
    position: dict[str, Any]
    leaves: list[dict[str, Any]]
    versions: dict[str, str]  # of the packages that wrote it

    def differences(self) -> list[str]:
        """Packages that have other versions now, each with both of them."""
        return [
            f"{name} {theirs}, now {ours}"
            for name, ours in directory.versions().items()
            if (theirs := self.versions.get(name, "(none)")) != ours
        ]


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one phase, of which the newest `keep` stay."""

    folder: Path
    keep: int = 2

    def newest(self) -> Saved | None:
        """The latest checkpoint, its bytes checked; a damaged one is an error, never a detour."""
        found = self._all()
        if not found:
            return None
        path = found[-1]
        with _blamed(path):
            meta = files.read_json(path / "meta.json")
            written = meta["format"]
        if written != FORMAT:
            raise UserError(
                f"checkpoint {path} is of format {written!r}, expected {FORMAT}: continue with the "
                "version of evil that wrote it, or start a new run."
            )
        with _blamed(path):
            if meta["checksum"] != _checksum(path / STATE):
                raise ValueError(f"{STATE} has changed since it was written")
            entries = [{name: entry[name] for name in leaves.FIELDS} for entry in meta["leaves"]]
            return Saved(path, dict(meta["position"]), entries, dict(meta["versions"]))

    def restore(self, saved: Saved, target: PyTree) -> PyTree:
        """The states in `saved`, which must be of the shapes and types of `target`."""
        paths, structure = jax.tree_util.tree_flatten_with_path(target)
        expected = [leaves.describe(path, leaf) for path, leaf in paths]
        for theirs, ours in zip(saved.leaves, expected, strict=False):
            if {**theirs, "key": ""} != {**ours, "key": ""}:
                raise _unfit(saved.path, leaves.shown(theirs), leaves.shown(ours))
        if len(saved.leaves) != len(expected):
            raise _unfit(saved.path, f"{len(saved.leaves)} arrays", f"{len(expected)}")
        with _blamed(saved.path):
            return jax.tree.unflatten(structure, leaves.read(saved.path / STATE, saved.leaves))

    def save(self, iteration: int, states: PyTree, position: dict[str, Any]) -> Path:
        """Write a checkpoint, then remove those it makes superfluous."""
        folder = self.folder.absolute()
        final, temporary = folder / str(iteration), folder / f".tmp-{iteration}"
        with atomic.explained("write checkpoint", final):
            folder.mkdir(parents=True, exist_ok=True)
            for remains in folder.glob(".tmp-*"):
                shutil.rmtree(remains)
            try:
                temporary.mkdir()
                _write(temporary, states, position)
                temporary.rename(final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                with contextlib.suppress(OSError):
                    folder.rmdir()  # where nothing was ever saved
            for old in self._all()[: -self.keep]:
                shutil.rmtree(old)
        return final

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.absolute().iterdir() if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))


def _write(folder: Path, states: PyTree, position: dict[str, Any]) -> None:
    paths, _ = jax.tree_util.tree_flatten_with_path(states)
    entries = [leaves.describe(path, leaf) for path, leaf in paths]
    leaves.write(folder / STATE, entries, [leaf for _, leaf in paths])
    meta = {
        "format": FORMAT,
        "versions": directory.versions(),
        "position": position,
        "leaves": entries,
        "checksum": _checksum(folder / STATE),
    }
    files.write_json(folder / "meta.json", meta)


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Whatever goes wrong while reading a checkpoint, say it of the checkpoint, in one sentence."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"checkpoint {path} is corrupt: {_brief(error)}; delete it to continue from the one "
            "before, if there is one."
        ) from error


def _unfit(path: Path, theirs: str, ours: str) -> UserError:
    return UserError(
        f"checkpoint {path} does not fit this run: it holds {theirs}, expected {ours}."
    )


def _brief(error: Exception) -> str:
    text = f"no {error} in meta.json" if isinstance(error, KeyError) else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _checksum(file: Path) -> int:
    """CRC-32 of a file: nothing else would notice a flipped bit in a value."""
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
