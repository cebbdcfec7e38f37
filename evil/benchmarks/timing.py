"""Programs timed side by side in one process.

Every program is run once before it is timed, on the very arrays it will be timed with; the
contestants of a comparison take turns, and each figure is the median over the turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from evil.running import lanes, settings
from evil.running.runner import Phase
from evil.seams import PyTree


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A compiled `state -> state`, its state, and what compiling it took."""

    advance: Callable[[PyTree], PyTree]
    state: PyTree
    compile_s: float
    peak_bytes: int = 0  # that the program takes at once, where the compiler says


@contextlib.contextmanager
def uncached() -> Iterator[None]:
    """Compile anew: a program from the cache would hide what it costs to compile."""
    before = jax.config.values["jax_enable_compilation_cache"]
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()  # JAX asks only once whether there is to be one
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def prepare(function: Callable[[PyTree], PyTree], state: PyTree) -> Contestant:
    """Compile ahead of time and run twice, so that nothing compiles while it is timed."""
    started = time.perf_counter()
    with uncached():
        compiled = jax.jit(function).lower(state).compile(settings.compiler_options())
    seconds = time.perf_counter() - started
    state = jax.block_until_ready(compiled(compiled(state)))
    return Contestant(compiled, state, seconds, lanes.peak_bytes(compiled))


def race(contestants: Mapping[str, Contestant], turns: int) -> dict[str, float]:
    """Median seconds per call of each, taking turns."""
    return {name: statistics.median(x) for name, x in turns_of(contestants, turns).items()}


def turns_of(contestants: Mapping[str, Contestant], turns: int) -> dict[str, list[float]]:
    """Seconds of every call of each, taking turns."""
    states = {name: one.state for name, one in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, one in contestants.items():
            started = time.perf_counter()
            states[name] = jax.block_until_ready(one.advance(states[name]))
            seconds[name].append(time.perf_counter() - started)
    return seconds


def driven(phase: Phase, programs: lanes.Programs | None = None) -> Contestant:
    """One chunk of a phase as the runner drives it, spread over all devices, and run twice.

    `programs` are those of the phase, if they are compiled already.
    """
    if programs is None:
        with uncached():
            programs = lanes.compile_phase(phase)
    alive, count = np.ones(phase.lanes, bool), np.int32(phase.chunk)

    def advance(states: PyTree) -> PyTree:
        return programs.advance(states, phase.data, alive, count)[0]

    states = advance(advance(programs.init(phase.keys, phase.data)))
    states = jax.block_until_ready(states)
    return Contestant(advance, states, programs.seconds, programs.peak_bytes)
