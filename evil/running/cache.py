"""Process-wide settings of JAX, made once by every command before it computes anything."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax


def prepare() -> None:
    """Keep compiled programs between processes, and multiply matrices in full float32."""
    use_compilation_cache()
    use_full_precision()


def use_compilation_cache() -> Path | None:
    """Keep compiled programs on disk, in `~/.cache/evil/xla` unless the environment says where.

    `JAX_COMPILATION_CACHE_DIR` names the folder itself, `EVIL_CACHE` the one that holds `xla/`.
    A folder that cannot be written is not an error: programs are then compiled every time.
    """
    chosen = jax.config.values["jax_compilation_cache_dir"]
    if chosen:
        return Path(chosen)
    try:
        root = os.environ.get("EVIL_CACHE") or Path.home() / ".cache" / "evil"
        folder = Path(root).expanduser().absolute() / "xla"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def use_full_precision() -> None:
    """Stop accelerators from rounding float32 products to TF32 or bfloat16.

    Physics, golden numbers and value targets do not survive ten bits of mantissa.
    """
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
