"""The device's side of a run: two compiled programs that advance all lanes at once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from evil import pytrees
from evil.errors import UserError
from evil.running import mesh, settings
from evil.running.mesh import LANES, P
from evil.running.phase import Phase
from evil.seams import Key, PyTree


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled programs of a phase, and of any other of the same shapes.

    `init(keys [L], data)` makes the first states.

    `advance(states, data, alive [L], count)` returns states, healthy `[L]`, metrics and finite. It
    runs `count <= phase.chunk` iterations; the count is an argument, so a short last chunk is the
    same program. `metrics` holds arrays [chunk, L], of which `count` rows are meaningful; `finite`
    is bool [leaves, L], in the order of `leaf_names`. A lane that was not alive, or has met a
    number that is not finite, gets back the state it came with. The input is therefore not donated:
    it is the last state known to be good.
    """

    init: Callable[[Key, PyTree], PyTree]
    advance: Callable[[PyTree, PyTree, Any, Any], Any]
    seconds: float  # that compiling took
    peak_bytes: int  # on each device, or on the host for CPUs: what the hungrier takes at once


def compile_phase(phase: Phase) -> Programs:
    """Compile both programs; of the phase's data and keys only the shapes matter."""
    started = time.perf_counter()
    (init, first), (advance, then) = _compile_init(phase), _compile_advance(phase)
    return Programs(init, advance, time.perf_counter() - started, max(first, then))


class Exhausted(UserError):
    """Lanes took more memory than there is, where the compiler had not foreseen it."""

    def __init__(self, phase: Phase, iteration: int) -> None:
        self.phase, self.iteration = phase.name, iteration
        many = f"{phase.lanes} lanes" if phase.lanes > 1 else "a single lane"
        super().__init__(
            f"{phase.name}: after iteration {iteration} the memory did not suffice for {many}: "
            "continue with --resume where there is more, or begin anew with fewer lanes at once "
            "(--num_seeds, or --lanes_per_program of run_sweep.py) or smaller ones."
        )


def is_exhausted(error: Exception) -> bool:
    """Whether there was not enough memory."""
    return "RESOURCE_EXHAUSTED" in str(error)


def _compile_init(phase: Phase) -> tuple[Callable[..., PyTree], int]:
    spread = mesh.of(phase)
    specs = (LANES, spread.data)
    arguments = (phase.keys, phase.data)
    return _compiled(spread, phase.init, specs, LANES, arguments, runs_once=True)


def _compile_advance(phase: Phase) -> tuple[Callable[..., Any], int]:
    # Jitted, because it is asked for its shapes first: JAX then traces it only once.
    step = jax.jit(jax.vmap(phase.algorithm.step, in_axes=(0, phase.data_axes)))

    def advance(states: PyTree, data: PyTree, alive: jax.Array, count: jax.Array) -> Any:
        def body(index: jax.Array, carry: Any) -> Any:
            states, metrics = carry
            states, row = step(states, data)
            return states, jax.tree.map(lambda x, new: x.at[index].set(new), metrics, row)

        rows = jax.eval_shape(step, states, data)[1]
        empty = jax.tree.map(lambda x: jnp.zeros((phase.chunk, *x.shape), x.dtype), rows)
        reached, metrics = lax.fori_loop(0, count, body, (states, empty))
        finite = _finite(reached)
        good = jnp.concatenate([alive[None], finite, *map(jnp.isfinite, metrics.values())])
        healthy = jnp.all(good, axis=0)
        return pytrees.select(healthy, reached, states), healthy, metrics, finite

    spread = mesh.of(phase)
    specs = (LANES, spread.data, LANES, P())
    out = (LANES, LANES, P(None, "lanes"), P(None, "lanes"))
    alive = jnp.ones(phase.lanes, bool)
    arguments = (phase.states, phase.data, alive, jnp.int32(phase.chunk))
    return _compiled(spread, advance, specs, out, arguments)


def _compiled(
    spread: mesh.Spread,
    function: Callable[..., Any],
    specs: Any,
    out: Any,
    arguments: Any,
    *,
    runs_once: bool = False,
) -> tuple[Callable[..., Any], int]:
    """`function` compiled for arguments of these shapes, which it puts where they belong.

    With the bytes that arguments, results and what lies in between take together.
    """
    program = jax.jit(spread.over_devices(function, specs, out), **spread.placed(out))
    lowered = program.lower(*spread.shapes(arguments, specs))
    compiled = lowered.compile(settings.compiler_options(runs_once=runs_once))
    # Devices that are the host's own cores share its memory.
    on_host = spread.mesh is not None and jax.default_backend() == "cpu"
    sharing = len(spread.mesh.local_devices) if spread.mesh and on_host else 1
    bytes_ = peak_bytes(compiled) * sharing
    return lambda *arguments: compiled(*spread.put(arguments, specs)), bytes_


def peak_bytes(compiled: Any) -> int:
    """What arguments, results and what lies in between take on each device; 0 if nobody says."""
    used = compiled.memory_analysis()
    if used is None:  # not every backend says
        return 0
    parts = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    return parts - used.alias_size_in_bytes


def leaf_names(states: PyTree) -> list[str]:
    """Paths of the leaves that can be non-finite: the floating-point ones."""
    paths, _ = jax.tree_util.tree_flatten_with_path(states)
    return [f"state{jax.tree_util.keystr(path)}" for path, leaf in paths if _is_floating(leaf)]


def _is_floating(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _finite(states: PyTree) -> jax.Array:
    """Whether each floating leaf of each lane is finite: bool [leaves, L]."""
    leaves = jax.tree.leaves(states)
    flags = [
        jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim))) for x in leaves if _is_floating(x)
    ]
    return jnp.stack(flags) if flags else jnp.ones((0, leaves[0].shape[0]), bool)
