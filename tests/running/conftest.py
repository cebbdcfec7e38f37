from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_algorithm", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module `tiny.py`, which is also a program that tests start and kill."""
    return load(Path(__file__).with_name("tiny.py"))


def bits(tree: Any) -> list[np.ndarray]:
    is_key = lambda x: jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)]


@pytest.fixture(scope="session")
def assert_same_bits() -> Any:
    def check(one: Any, other: Any) -> None:
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for a, b in zip(bits(one), bits(other), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert a.tobytes() == b.tobytes()

    return check


@pytest.fixture(scope="session")
def contents() -> Any:
    """Every file below a folder, with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
            for path in folder.rglob("*")
        }

    return read
