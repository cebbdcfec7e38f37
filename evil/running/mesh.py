"""How lanes lie on devices: those of this process, or of all processes that share the run."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.parallel import Parts
from evil.running import leaves, processes
from evil.running.phase import Phase
from evil.seams import PyTree

P = jax.sharding.PartitionSpec
LANES = P("lanes")


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


def of(phase: Phase) -> Spread:
    """The lanes over the devices, and each lane's work among the idle ones."""
    devices = jax.local_devices() if processes.count() == 1 else jax.devices()
    shape = division(phase.lanes, phase.algorithm.parts, len(devices), processes.count())
    data = jax.tree.map(
        lambda axis: P() if axis is None else LANES, phase.data_axes, is_leaf=lambda x: x is None
    )
    mesh = None
    if math.prod(shape) > 1:
        mesh = jax.make_mesh(
            shape,
            ("lanes", *(field.name for field in dataclasses.fields(Parts))),
            axis_types=(jax.sharding.AxisType.Auto,) * len(shape),
            devices=devices[: math.prod(shape)],
        )
    return Spread(mesh=mesh, data=data, lanes=phase.lanes, spare=-phase.lanes % shape[0])


def division(
    lanes: int, parts: Parts, devices: int, num_processes: int = 1
) -> tuple[int, int, int]:
    """Groups of lanes, of a lane's members and of a member's worlds: devices for each of the three.

    Lanes come first, as they never talk to each other, and worlds last, as they do in every step.
    Of several processes no device may be left out, so lanes get those that nothing else can use;
    and the worlds of one member stay in one process.
    """
    if num_processes == 1:
        groups = min(lanes, devices)
        members = min(parts.members, devices // groups)
        return groups, members, min(parts.worlds, devices // (groups * members))
    idle = devices // min(lanes, devices)
    members = max(size for size in range(1, min(parts.members, idle) + 1) if devices % size == 0)
    local = math.gcd(devices // num_processes, devices // members)
    limit = min(parts.worlds, idle // members)
    worlds = max(size for size in range(1, limit + 1) if local % size == 0)
    return devices // (members * worlds), members, worlds


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
