"""Compiling a later phase while an earlier one runs.

Compiling takes one core, and so does compiling the earlier phase: on two they go side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from evil.running import lanes
from evil.running.phase import Phase


def compile_ahead(phase: Phase) -> Callable[[], None]:
    """Begin to compile the programs of `phase`; returns a function that waits for the end.

    Only the shapes of its data and keys matter. The programs go to JAX's cache on disk, where a
    run of the phase finds them; without such a cache nothing is done. What goes wrong is raised
    by the function that waits.
    """
    if not jax.config.values["jax_compilation_cache_dir"]:
        return lambda: None
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile-ahead")
    compiling = pool.submit(_compile, phase)
    pool.shutdown(wait=False)
    return compiling.result


def _compile(phase: Phase) -> None:
    def filled(x: jax.ShapeDtypeStruct) -> jax.Array:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jnp.broadcast_to(phase.keys[0], x.shape) if is_key else jnp.zeros(x.shape, x.dtype)

    lanes.compile_init(phase)
    lanes.compile_advance(phase, jax.tree.map(filled, lanes.abstract_states(phase)))
