"""Demonstrations on disk: one compressed `.npz` of plain arrays, checked before it is believed.

Episodes are stored end to end: `obs [sum(L)+E, ...]`, `action [sum(L), ...]`, `reward [sum(L)]`,
`length [E]`, `terminated [E]`, and `header`, a JSON object as bytes that says what made them. Of an
expert that was only watched there is no `action`.
Which rows are in use is a choice of the reader and not stored.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evil import atomic
from evil.demonstrations import archives, checks
from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import UserError
from evil.seams import Spec

FORMAT = "evil-demonstrations"
VERSION = 1
DTYPES = {
    "obs": ("float32",),
    "action": ("int32", "float32"),
    "reward": ("float32",),
    "length": ("int32",),
    "terminated": ("bool",),
    "header": ("uint8",),
}
OPTIONAL = ("action",)
PACKAGES = ("evil", "jax", "numpy", "brax", "gymnax")  # whose versions a file records


def save(path: str | Path, demos: Demonstrations, spec: Spec, meta: Mapping[str, Any]) -> Path:
    """Write all episodes of `demos` with the `spec` they came from; `meta` is any JSON object."""
    length = np.asarray(demos.length)
    step = np.arange(demos.reward.shape[1] + 1)
    is_step = step[:-1] < length[:, None]
    arrays: dict[str, Any] = {
        "obs": np.asarray(demos.obs)[step <= length[:, None]],
        "reward": np.asarray(demos.reward)[is_step],
        "length": length,
        "terminated": np.asarray(demos.terminated),
    }
    if demos.action is not None:
        arrays["action"] = np.asarray(demos.action)[is_step]
    header = json.dumps(_describe(spec, meta), default=_plain).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, header=np.frombuffer(header, np.uint8))
    return atomic.write(Path(path), buffer.getvalue())


def load(path: str | Path, spec: Spec | None = None) -> tuple[Demonstrations, dict[str, Any]]:
    """Read `(demonstrations, meta)`, and check them against `spec`, or else their own header.

    Raises `UserError` for anything a file can have wrong, without executing or trusting it.
    """
    path = Path(path)
    arrays = archives.read(path, DTYPES, optional=OPTIONAL)
    found, meta = _parse(path, arrays["header"])
    if spec is not None:
        checks.environment(path, found, spec)
    arrays.pop("header")
    return checks.believed(path, arrays, spec or found), meta


def describe(path: str | Path) -> tuple[Spec, dict[str, Any]]:
    """`(spec, meta)` of a file: where it was recorded, without reading the episodes."""
    path = Path(path)
    found = archives.read(path, DTYPES, wanted=("header",), optional=OPTIONAL)
    return _parse(path, found["header"])


def _describe(spec: Spec, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The header: whatever of a spec bears on the arrays, and what produced them."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "env": spec.name,
        "backend": spec.backend,
        "time_limit": spec.time_limit,
        "obs_shape": list(spec.obs_shape),
        "num_actions": spec.num_actions,
        "action_size": spec.action_size,
        "action_low": list(spec.action_low),
        "action_high": list(spec.action_high),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "meta": dict(meta),
    }


def _parse(path: Path, content: np.ndarray) -> tuple[Spec, dict[str, Any]]:
    """The inverse of `_describe`, for bytes that may come from anywhere."""
    try:
        header = json.loads(content.tobytes())
        if (header["format"], header["version"]) != (FORMAT, VERSION):
            raise UserError(
                f"{path}: expected format {FORMAT} version {VERSION}, "
                f"found {header['format']} version {header['version']}."
            )
        num_actions = header["num_actions"]
        spec = Spec(
            name=str(header["env"]),
            backend=str(header["backend"]),
            time_limit=int(header["time_limit"]),
            obs_shape=tuple(int(size) for size in header["obs_shape"]),
            num_actions=None if num_actions is None else int(num_actions),
            action_size=int(header["action_size"]),
            action_low=tuple(float(bound) for bound in header["action_low"]),
            action_high=tuple(float(bound) for bound in header["action_high"]),
        )
        bounds = spec.action_low + spec.action_high
        if len(bounds) not in (0, 2 * spec.action_size) or any(np.isnan(bounds)):
            raise ValueError(bounds)
        return spec, dict(header["meta"])
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: expected a header as `save` writes it, found another.") from error


def _plain(value: Any) -> Any:
    """Arrays and NumPy or JAX numbers as JSON has them."""
    return np.asarray(value).tolist() if hasattr(value, "__array__") else str(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
