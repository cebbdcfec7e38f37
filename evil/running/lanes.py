"""The device's side of a run: two compiled programs that advance all lanes at once."""

from __future__ import annotations

import dataclasses
import functools
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

    `init(keys [L], data)` makes the first states; it may still have to be compiled when called.

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


def compile_phase(
    phase: Phase, begins: bool = True, *, traced: Callable[[], object] = lambda: None
) -> Programs:
    """Compile both programs; of the phase's data and keys only the shapes matter.

    A phase that goes on (not `begins`) has no use for the first program, which then waits until it
    is called. `traced` is called once Python has done its part and the compiler's own begins.
    """
    started = time.perf_counter()
    init, advance = _init(phase), _advance(phase)
    needed = [init, advance] if begins else [advance]
    for program in needed:
        program.trace()
    traced()
    hungrier = max(program.peak_bytes for program in needed)
    return Programs(init, advance, time.perf_counter() - started, hungrier)


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


@dataclasses.dataclass
class _Program:
    """A function of lanes, traced and compiled for arguments of such shapes when it first must."""

    spread: mesh.Spread
    function: Callable[..., Any]
    specs: Any
    out: Any
    arguments: Any  # of which only the shapes matter
    runs_once: bool = False

    def trace(self) -> None:
        """Do Python's part now."""
        _ = self._lowered

    def __call__(self, *arguments: Any) -> Any:
        """Call it, with the arguments put where they belong."""
        return self._compiled(*self.spread.put(arguments, self.specs))

    @property
    def peak_bytes(self) -> int:
        """Bytes that arguments, results and what lies in between take together."""
        # Devices that are the host's own cores share its memory.
        on_host = self.spread.mesh is not None and jax.default_backend() == "cpu"
        sharing = len(self.spread.mesh.local_devices) if self.spread.mesh and on_host else 1
        return peak_bytes(self._compiled) * sharing

    @functools.cached_property
    def _lowered(self) -> Any:
        function = self.spread.over_devices(self.function, self.specs, self.out)
        program = jax.jit(function, **self.spread.placed(self.out))
        return program.lower(*self.spread.shapes(self.arguments, self.specs))

    @functools.cached_property
    def _compiled(self) -> Any:
        compiled = self._lowered.compile(settings.compiler_options(runs_once=self.runs_once))
        del self._lowered  # as large as the program
        return compiled


def _init(phase: Phase) -> _Program:
    spread = mesh.of(phase)
    specs = (LANES, spread.data)
    return _Program(spread, phase.init, specs, LANES, (phase.keys, phase.data), runs_once=True)


def _advance(phase: Phase) -> _Program:
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
    return _Program(spread, advance, specs, out, arguments)


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
