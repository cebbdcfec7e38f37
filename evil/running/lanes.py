"""The device's side of a run: two compiled programs that advance all lanes at once."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evil import parallel, pytrees
from evil.running import leaves, processes, settings
from evil.running.phase import Phase
from evil.seams import Key, PyTree

P = jax.sharding.PartitionSpec
LANES = P("lanes")


def abstract_states(phase: Phase) -> PyTree:
    """Shapes and types of the stacked states, without computing or compiling anything."""
    return jax.eval_shape(_init(phase), phase.keys, phase.data)


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
    peak_bytes: int  # on each device, or on the host for CPUs: what `advance` takes at once


def compile_phase(phase: Phase) -> Programs:
    """Compile both programs; of the phase's data and keys only the shapes matter."""
    started = time.perf_counter()
    (init, _), (advance, peak_bytes) = _compile_init(phase), _compile_advance(phase)
    return Programs(init, advance, time.perf_counter() - started, peak_bytes)


def _compile_init(phase: Phase) -> tuple[Callable[..., PyTree], int]:
    spread = _spread(phase)
    specs = (LANES, spread.data)
    arguments = (phase.keys, phase.data)
    return _compiled(spread, _init(phase), specs, LANES, arguments, runs_once=True)


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

    spread = _spread(phase)
    specs = (LANES, spread.data, LANES, P())
    out = (LANES, LANES, P(None, "lanes"), P(None, "lanes"))
    alive = jnp.ones(phase.lanes, bool)
    arguments = (abstract_states(phase), phase.data, alive, jnp.int32(phase.chunk))
    return _compiled(spread, advance, specs, out, arguments)


def _compiled(
    spread: Spread,
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
    bytes_ = _peak_bytes(compiled) * sharing
    return lambda *arguments: compiled(*spread.put(arguments, specs)), bytes_


def _peak_bytes(compiled: Any) -> int:
    """On each device."""
    used = compiled.memory_analysis()
    if used is None:  # not every backend says
        return 0
    parts = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    return parts - used.alias_size_in_bytes


@dataclasses.dataclass(frozen=True)
class Spread:
    """How the lanes of a phase lie on the devices; lanes never talk to each other.

    Where the devices do not divide the lanes, the last lane is repeated as often as that takes,
    inside the program alone: what goes in and comes out are the lanes of the phase.
    """

    mesh: jax.sharding.Mesh | None  # None: all on one device
    data: PyTree  # partition specs of the phase's data, a prefix of its tree
    lanes: int
    spare: int  # repetitions of the last lane

    def over_devices(self, function: Callable[..., Any], specs: Any, out: Any) -> Any:
        """`function` with every device doing its own lanes."""
        if self.mesh is None:
            return function
        sharded = jax.shard_map(
            function, mesh=self.mesh, in_specs=specs, out_specs=out, check_vma=False
        )
        if not self.spare:
            return sharded

        @functools.wraps(function)
        def padded(*arguments: Any) -> Any:
            return _by_spec(self._strip, out, sharded(*_by_spec(self._pad, specs, arguments)))

        return padded

    def put(self, tree: PyTree, specs: PyTree) -> PyTree:
        """The arrays of `tree` on the devices where they belong; all on all, if some are padded."""
        if processes.count() == 1:
            return jax.device_put(tree, self._shardings(specs))
        return jax.tree.map(
            lambda sharding, part: jax.tree.map(lambda x: _among(x, sharding), part),
            self._shardings(specs),
            tree,
            is_leaf=_is_sharding,
        )

    def placed(self, out: Any) -> dict[str, Any]:
        """Options of `jit`: of several processes, each is given all results but the states."""
        if processes.count() == 1:
            return {}
        specs = out if _is_spec(out) else (out[0], *[P()] * (len(out) - 1))
        return {"out_shardings": self._shardings(specs)}

    def shapes(self, tree: PyTree, specs: PyTree) -> PyTree:
        """What `put` would make of the arrays of `tree`, by their shapes alone."""

        def abstract(sharding: Any, part: PyTree) -> PyTree:
            return jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), part
            )

        shardings = self._shardings(specs)
        if shardings is None:
            return abstract(None, tree)
        return jax.tree.map(abstract, shardings, tree, is_leaf=_is_sharding)

    def _shardings(self, specs: PyTree) -> PyTree:
        if self.mesh is None:
            return None
        mesh = self.mesh
        return jax.tree.map(
            lambda spec: jax.sharding.NamedSharding(mesh, P() if self.spare else spec),
            specs,
            is_leaf=_is_spec,
        )

    def _pad(self, axis: int, x: jax.Array) -> jax.Array:
        last = jax.lax.slice_in_dim(x, self.lanes - 1, self.lanes, axis=axis)
        return jnp.concatenate([x, *[last] * self.spare], axis)

    def _strip(self, axis: int, x: jax.Array) -> jax.Array:
        return jax.lax.slice_in_dim(x, 0, self.lanes, axis=axis)


def _by_spec(change: Callable[[int, jax.Array], jax.Array], specs: Any, tree: PyTree) -> PyTree:
    """`change(axis, x)` of every leaf that has an axis of lanes, by a prefix of specs."""

    def apply(spec: jax.sharding.PartitionSpec, part: PyTree) -> PyTree:
        if "lanes" not in spec:
            return part
        axis = tuple(spec).index("lanes")
        return jax.tree.map(lambda x: change(axis, x), part)

    return jax.tree.map(apply, specs, tree, is_leaf=_is_spec)


def _is_spec(value: Any) -> bool:
    return isinstance(value, P)


def _is_sharding(value: Any) -> bool:
    return isinstance(value, jax.sharding.Sharding)


def _spread(phase: Phase) -> Spread:
    """The lanes over the devices, and each lane's work among the idle ones."""
    devices = jax.local_devices() if processes.count() == 1 else jax.devices()
    groups = min(phase.lanes, len(devices))
    members = min(phase.algorithm.members, len(devices) // groups)
    if processes.count() > 1:  # none of which may be left out
        members = max(size for size in range(1, members + 1) if len(devices) % size == 0)
        groups = len(devices) // members
    data = jax.tree.map(
        lambda axis: P() if axis is None else LANES, phase.data_axes, is_leaf=lambda x: x is None
    )
    mesh = None
    if groups * members > 1:
        mesh = jax.make_mesh(
            (groups, members),
            ("lanes", parallel.AXIS),
            axis_types=(jax.sharding.AxisType.Auto,) * 2,
            devices=devices[: groups * members],
        )
    return Spread(mesh=mesh, data=data, lanes=phase.lanes, spare=-phase.lanes % groups)


def whole(states: PyTree) -> PyTree:
    """The states of all lanes, wherever they lie; those of other processes come to the host."""
    return states if processes.count() == 1 else jax.tree.map(_whole_leaf, states)


def _whole_leaf(x: Any) -> Any:
    if isinstance(x, np.ndarray) or x.is_fully_addressable:
        return x
    everywhere = jax.sharding.NamedSharding(x.sharding.mesh, P())
    copy = jax.jit(_same, out_shardings=everywhere)(x).addressable_data(0)
    return copy if leaves.is_key(copy) else np.asarray(copy)


def _same(x: jax.Array) -> jax.Array:
    return x


def _among(x: Any, sharding: jax.sharding.Sharding) -> jax.Array:
    """An array that every process has, on the devices of all of them."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return x  # is there already
    if leaves.is_key(x):
        data = _among(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    content = np.asarray(x)
    return jax.make_array_from_callback(content.shape, sharding, lambda index: content[index])


def leaf_names(states: PyTree) -> list[str]:
    """Paths of the leaves that can be non-finite: the floating-point ones."""
    paths, _ = jax.tree_util.tree_flatten_with_path(states)
    return [f"state{jax.tree_util.keystr(path)}" for path, leaf in paths if _is_floating(leaf)]


def _init(phase: Phase) -> Callable[..., PyTree]:
    # `step` sees lanes as slices of one array, so weak types would change after the first chunk.
    def init(keys: jax.Array, data: PyTree) -> PyTree:
        states = jax.vmap(phase.algorithm.init, in_axes=(0, phase.data_axes))(keys, data)
        return jax.tree.map(
            lambda x: lax.convert_element_type(x, x.dtype) if x.weak_type else x, states
        )

    return init


def _is_floating(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _finite(states: PyTree) -> jax.Array:
    """Whether each floating leaf of each lane is finite: bool [leaves, L]."""
    leaves = jax.tree.leaves(states)
    flags = [
        jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim))) for x in leaves if _is_floating(x)
    ]
    return jnp.stack(flags) if flags else jnp.ones((0, leaves[0].shape[0]), bool)
