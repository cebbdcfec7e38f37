"""The experts that come with the library: a folder each, with a card that vouches for its files.

    experts/<name>_<backend>/policy.safetensors     weights and how to rebuild the policy
                             demonstrations.npz     episodes of that policy
                             card.json              returns, provenance, SHA-256 of the files

In a checkout they lie at the root of the repository, in a wheel inside the package.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evil import atomic
from evil.demonstrations import files
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec

POLICY = "policy.safetensors"
EPISODES = "demonstrations.npz"
CARD = "card.json"
MAX_CARD_BYTES = 1024**2

_PACKAGE = Path(__file__).resolve().parents[1]


def root() -> Path:
    """Where the experts lie: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "_experts"
    return installed if installed.is_dir() else _PACKAGE.parent / "experts"


def directory(name: str, backend: str = "") -> Path:
    """The folder of one expert, whether or not it exists."""
    return root() / re.sub(r"[^A-Za-z0-9_-]", "-", f"{name}_{backend}" if backend else name)


def available() -> tuple[str, ...]:
    """The names of the experts that are shipped, e.g. `hopper_positional`."""
    return tuple(sorted(path.parent.name for path in root().glob(f"*/{CARD}")))


def has(spec: Spec) -> bool:
    """Whether an expert is shipped for `spec`."""
    return (directory(spec.name, spec.backend) / CARD).is_file()


def card(spec: Spec) -> dict[str, Any]:
    """The score card of the expert for `spec`, after checking the files it vouches for."""
    folder = directory(spec.name, spec.backend)
    if not has(spec):
        backend = f" --backend {spec.backend}" if spec.backend else ""
        raise UserError(
            f"no expert is shipped for {folder.name} (available: "
            f"{', '.join(available()) or 'none'}): make one with `python scripts/train_expert.py "
            f"--env {spec.name}{backend}`, or pass demonstrations with --demos FILE."
        )
    content = _parse(folder / CARD)
    for name, expected in content["sha256"].items():
        path = folder / name
        found = _sha256(path) if path.is_file() else "no such file"
        if found != expected:
            raise UserError(f"{path}: expected SHA-256 {expected} as in {CARD}, found {found}.")
    return content


def demonstrations(spec: Spec) -> tuple[Demonstrations, dict[str, Any]]:
    """The shipped demonstrations for `spec`, and the card of the expert that gave them."""
    content = card(spec)
    return files.load(directory(spec.name, spec.backend) / EPISODES, spec)[0], content


def write(
    spec: Spec,
    demos: Demonstrations,
    weights: Iterable[Path],
    content: Mapping[str, Any],
) -> Path:
    """Ship an expert: copies of the files `weights`, its episodes, and its card, all or nothing.

    `content` is the card without what is known here: environment, backend and SHA-256s. An expert
    of the same name is replaced. Returns the folder.
    """
    target = directory(spec.name, spec.backend)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        for path in weights:
            shutil.copyfile(path, folder / path.name)
        files.save(folder / EPISODES, demos, spec, content)
        hashes = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        complete = {"env": spec.name, "backend": spec.backend, **content, "sha256": hashes}
        atomic.write(folder / CARD, (json.dumps(complete, indent=2) + "\n").encode())
        if target.exists():
            target.rename(Path(scratch) / "old")
        folder.rename(target)
    return target


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError
        content = json.loads(path.read_bytes())
        names = dict(content["sha256"])
        if EPISODES not in names or any(Path(name).name != name for name in names):
            raise ValueError
        return content
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{path}: expected a JSON object with the SHA-256 of {EPISODES}, found something else."
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
