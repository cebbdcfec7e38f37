"""What the runner is given, and what it gives back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError
from evil.seams import Algorithm, Key, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """One algorithm, run for so many iterations on so many lanes at once.

    A lane is one independent run: a seed, or a point of a grid. `env_steps` are everywhere those
    of one lane, speeds those of all lanes together.
    """

    name: str  # unique within a run directory
    algorithm: Algorithm
    data: PyTree  # an argument of the compiled program, never a constant in it
    keys: Key  # [L], one per lane
    iterations: int
    chunk: int  # iterations between two visits of the host
    data_axes: PyTree = None  # `vmap`'s in_axes for `data`; None: shared by all lanes
    log_every: int = 1  # iterations between logged records
    groups: tuple[tuple[str, int], ...] = ()  # runs of lanes that are logged under other names

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.log_every < 1 or self.iterations < 0:
            raise UserError(f"phase {self.name!r}: chunk and log_every must be at least 1.")
        if self.keys.ndim != 1:
            raise ValueError(f"phase {self.name!r}: keys must have shape [lanes]")
        if sum(size for _, size in self.logged_groups) != self.lanes:
            raise ValueError(f"phase {self.name!r}: {self.groups} do not add up to its lanes")

    @property
    def lanes(self) -> int:
        return self.keys.shape[0]

    @property
    def logged_groups(self) -> tuple[tuple[str, int], ...]:
        """Names that its records carry as their phase, and how many lanes each has, in order."""
        return self.groups or ((self.name, self.lanes),)

    @functools.cached_property
    def init(self) -> Callable[[Key, PyTree], PyTree]:
        """(keys, data) -> the first states of all lanes; jitted, so that it is traced only once."""

        # `step` sees lanes as slices of one array, so weak types would not last.
        def init(keys: Key, data: PyTree) -> PyTree:
            states = jax.vmap(self.algorithm.init, in_axes=(0, self.data_axes))(keys, data)
            return jax.tree.map(
                lambda x: jax.lax.convert_element_type(x, x.dtype) if x.weak_type else x, states
            )

        return jax.jit(init)

    @functools.cached_property
    def states(self) -> PyTree:
        """Shapes and types of the states of all lanes, without computing or compiling anything."""
        return jax.eval_shape(self.init, self.keys, self.data)

    @property
    def state_bytes(self) -> int:
        """Bytes of the states of all lanes."""
        return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(self.states))

    def data_of(self, lanes: Any) -> PyTree:
        """The data of one lane, or of an array of lanes stacked."""

        def take(axis: int | None, part: PyTree) -> PyTree:
            return part if axis is None else jax.tree.map(lambda x: jnp.take(x, lanes, axis), part)

        return jax.tree.map(take, self.data_axes, self.data, is_leaf=lambda x: x is None)

    def logged_as(self, lane: int) -> tuple[str, int]:
        """The phase name and the lane number under which a lane is logged."""
        names = [(name, number) for name, size in self.logged_groups for number in range(size)]
        return names[lane]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A lane that became non-finite, when, and the first quantity that did."""

    lane: int
    iteration: int  # counted from 1
    metric: str  # or `state...`, the path of a leaf, where every metric was still finite


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a phase has come: all that must be remembered besides the states themselves."""

    iteration: int = 0
    wall_s: float = 0.0  # without compilation
    compile_s: float = 0.0
    frozen: tuple[Frozen, ...] = ()
    last_metrics: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    complete: bool = False

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        metrics = {
            name: np.array([np.nan if x is None else x for x in lanes], np.float64)
            for name, lanes in value["last_metrics"].items()
        }
        return cls(
            iteration=int(value["iteration"]),
            wall_s=float(value["wall_s"]),
            compile_s=float(value["compile_s"]),
            frozen=tuple(Frozen(**entry) for entry in value["frozen"]),
            last_metrics=metrics,
            complete=bool(value["complete"]),
        )

    def is_unfinished(self, phase: Phase) -> bool:
        """Whether iterations are left, and a lane to run them."""
        return self.iteration < phase.iterations and len(self.frozen) < phase.lanes

    def alive(self, lanes: int) -> np.ndarray:
        """Which of the lanes are still running: bool [L]."""
        alive = np.ones(lanes, bool)
        alive[[entry.lane for entry in self.frozen]] = False
        return alive


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a phase has come to."""

    states: PyTree  # stacked over lanes; of a frozen lane, the last state known to be good
    iterations: int
    env_steps: int  # of one lane
    wall_s: float  # summed over resumed sessions, without compilation
    compile_s: float
    env_steps_per_s: float  # all lanes together
    frozen: tuple[Frozen, ...]
    last_metrics: Mapping[str, np.ndarray]  # float64 [L]; of a frozen lane, its last good ones
