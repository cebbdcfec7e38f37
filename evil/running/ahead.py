"""Compiling what a later part of a run needs while an earlier one runs.

Compiling takes one core, and so does compiling the earlier part: on two they go side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import jax.numpy as jnp

from evil.running import lanes
from evil.running.phase import Phase


def compile_ahead(*jobs: Callable[[], object]) -> tuple[Callable[[], None], ...]:
    """Begin to do jobs that compile, one after the other; returns a function for each that waits.

    What they compile goes to JAX's cache on disk, where whoever needs it finds it; without such a
    cache nothing is done. What goes wrong in a job is raised by the function that waits for it.
    """
    if not jax.config.values["jax_compilation_cache_dir"]:
        return tuple(_nothing for _ in jobs)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile-ahead")
    waiting = tuple(_waiting(pool.submit(job)) for job in jobs)
    pool.shutdown(wait=False)
    return waiting


def compile_phase(phase: Phase) -> None:
    """Compile the programs of a phase, of whose data and keys only the shapes matter."""

    def filled(x: jax.ShapeDtypeStruct) -> jax.Array:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jnp.broadcast_to(phase.keys[0], x.shape) if is_key else jnp.zeros(x.shape, x.dtype)

    lanes.compile_init(phase)
    lanes.compile_advance(phase, jax.tree.map(filled, lanes.abstract_states(phase)))


def _waiting(job: Future[object]) -> Callable[[], None]:
    def wait() -> None:
        job.result()

    return wait


def _nothing() -> None:
    pass
