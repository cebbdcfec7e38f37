"""What every test shares: the CPU, a compilation cache, strict ranks, a key, and `--runslow`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Read by JAX, TensorFlow Probability and matplotlib when they are first imported, and inherited by
# the scripts that tests start. Most of a test run is compiling: what was compiled is kept, in the
# folder that evil.running uses too.
CACHE = Path(os.environ.get("EVIL_CACHE") or Path.home() / ".cache" / "evil") / "xla"
with contextlib.suppress(OSError):  # without a cache the tests are slower, not different
    CACHE.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE.resolve()))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
if "--runslow" not in sys.argv:  # what runs for seconds costs less to run than to optimise
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Half the time to compile, and as fast, as evil.running.settings tells XLA of its own programs.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")  # so that lanes have somewhere to spread
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("absl").setLevel(logging.ERROR)

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from jax._src.numpy import util as jax_numpy_util  # noqa: E402

hypothesis.settings.register_profile(
    "evil",
    deadline=None,  # the first example compiles
    derandomize=True,  # the same examples on every run
    max_examples=25,
)
hypothesis.settings.load_profile("evil")


# `[B] + [B, 1]` is nearly always a bug, so arrays of different rank do not broadcast in our code.
# Brax, parts of gymnax and distrax's sampling rely on it: they are let through, by asking whose
# code the innermost frame outside JAX is. JAX calls the function replaced here at such a broadcast.

jax.config.update("jax_numpy_rank_promotion", "raise")
refuse_rank_promotion = jax_numpy_util._rank_promotion_warning_or_error
INSTALLED = sysconfig.get_path("purelib")
STANDARD = sysconfig.get_path("stdlib")
JAX = str(Path(jax.__file__).parent)


def is_in_between(file: str) -> bool:
    """Whether a file is part of JAX or Python, so that its caller is the one who broadcasts."""
    is_standard = file.startswith((STANDARD, "<")) and not file.startswith(INSTALLED)
    return is_standard or file.startswith(JAX)


def refuse_our_rank_promotion(name: str, shapes: Any) -> None:
    frame = sys._getframe(1)
    while frame is not None and is_in_between(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(INSTALLED):
        refuse_rank_promotion(name, shapes)


jax_numpy_util._rank_promotion_warning_or_error = refuse_our_rank_promotion


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """`@pytest.mark.allow_rank_promotion` lifts the rule, for the test and its fixtures."""
    if item.get_closest_marker("allow_rank_promotion") is None:
        return (yield)
    with jax.numpy_rank_promotion("allow"):
        return (yield)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--runslow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: add --runslow"))


@pytest.fixture
def key() -> jax.Array:
    """A typed PRNG key, the same in every test."""
    return jax.random.key(0)


class Counted:
    """A function that counts how often its Python body runs; under `jit`, how often it traces."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.count = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return self.function(*args, **kwargs)


@pytest.fixture
def counted() -> type[Counted]:
    """`step = counted(step)`, run `jax.jit(step)` a few times, `assert step.count == 1`."""
    return Counted
