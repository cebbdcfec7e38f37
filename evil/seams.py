"""The five seams of the library, and the arrays that pass through them.

    Environment ─► Learner ─► rollout ─► RewardModel        Policy: what acts
                      ▲                      │              Algorithm: what the runner drives
                      └── reward parameters ─┘

Each seam is a frozen record of pure functions. Axes: T time, B environments, N transitions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

from jax import Array

from evil.parallel import Parts
from evil.pytrees import pytree, static

PyTree: TypeAlias = Any
Key: TypeAlias = Array  # a typed PRNG key; whoever receives one consumes it
Metrics: TypeAlias = dict[str, Array]  # scalars by `owner/quantity`, always the same keys


@dataclasses.dataclass(frozen=True)
class Spec:
    """What the rest of the library needs to know of an environment."""

    name: str
    obs_shape: tuple[int, ...]
    time_limit: int  # steps after which an episode is truncated
    num_actions: int | None = None  # number of discrete actions; None if actions are vectors
    action_size: int = 0  # length of an action vector; 0 if actions are discrete
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    backend: str = ""  # physics backend, where the family has several
    obs_sizes: tuple[int, ...] = ()  # values 0..n-1 of each component, if those are whole numbers
    landmark: tuple[int, str] | None = None  # (index, name) of the observation worth plotting

    @property
    def is_discrete(self) -> bool:
        return self.num_actions is not None


@pytree
class Step:
    """What one step of the world did, for one environment or a batch of them."""

    next_obs: Array  # the true successor, never the first observation of a next episode
    reward: Array  # float32, the environment's own
    terminated: Array  # bool: the task ended, nothing follows
    truncated: Array  # bool: the clock ran out, the value of next_obs still counts


@pytree
class Transition:
    """Steps as rewards and learners see them; every leaf has the same leading axes."""

    obs: Array
    action: Array  # as applied: int32 index, or float32 vector in bounds; None: only observed
    next_obs: Array
    reward: Array  # the environment's own, for reference: imitation never reads it
    terminated: Array
    truncated: Array
    log_prob: Array | None = None  # of the action under the policy in question, where known
    origin: PyTree = None  # which of these rows are the expert's, where a learner mixes them in


@dataclasses.dataclass(frozen=True)
class Environment:
    """A single world, without time limit or reset: those are `evil.environments.episodes`."""

    spec: Spec
    params: PyTree  # default physics; pass other values, batched or not, to `reset` and `step`
    reset: Callable[[Key, PyTree], tuple[PyTree, Array]]  # (key, params) -> state, obs
    step: Callable[[Key, PyTree, Array, PyTree], tuple[PyTree, Step]]
    # (key, state, action, params) -> state, Step; `truncated` is left False


@pytree
class Policy:
    """Something that acts: parameters, the function that reads them, and its first memory.

    `act(params, obs [B, ...], key, carry) -> (action [B, ...], carry)`. A policy without memory
    has carry `()`; otherwise `memory(B)` is the carry of B fresh episodes.
    """

    params: PyTree
    act: Callable[[PyTree, Array, Key, PyTree], tuple[Array, PyTree]] = static()
    memory: Callable[[int], PyTree] = static(default=lambda batch: ())
    log_prob: Callable[[PyTree, Transition], Array] | None = static(default=None)
    # (params, transitions [...]) -> log-probabilities [...] of their actions, where it has them


@dataclasses.dataclass(frozen=True)
class Score:
    """A reward as learners consume it: parameters come from outside, at every call.

    `apply(params, carry, transitions [T, B]) -> (rewards [T, B], carry)`; without episode memory
    the carry is `()`: see `evil.rewards.memoryless`. `bonus` is added in a learner's own units.
    """

    apply: Callable[[PyTree, PyTree, Transition], tuple[Array, PyTree]]
    memory: Callable[[int], PyTree] = lambda batch: ()
    bonus: Score | None = None
    expert: Callable[[PyTree, Key, int], Transition] | None = None  # (params, key, N) -> its rows
    reads_origin: bool = False  # whether it means anything only to learners that mix rows
    pays_absorbing: bool = False  # whether it has rewards for rows of the absorbing state


@dataclasses.dataclass(frozen=True)
class RewardModel:
    """A reward that learns to tell an expert from an agent."""

    init: Callable[[Key, PyTree], PyTree]  # (key, Demonstrations) -> state
    params: Callable[[PyTree], PyTree]  # state -> what `score` reads
    score: Score
    update: Callable[[Key, PyTree, Transition, Transition], tuple[PyTree, Metrics]]
    # (key, state, agent [N], expert [N]) -> state, metrics: one gradient step
    batch_size: int  # the N that `update` expects


@dataclasses.dataclass(frozen=True)
class Learner:
    """Reinforcement learning on a reward whose parameters are an argument of every step."""

    init: Callable[..., PyTree]  # (key, physics=None, policy=None: its parameters) -> state
    step: Callable[[PyTree, PyTree], tuple[PyTree, Transition, Metrics]]
    # (state, reward params) -> state, rollout [T, B], metrics
    policy: Callable[..., Policy]  # (state, deterministic=False) -> Policy
    reset_policy: Callable[[Key, PyTree], PyTree]  # (key, state) -> state: anew, in the same worlds
    steps_per_iteration: int  # environment steps in one call of `step`
    parts: Parts = Parts()  # what devices may share


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """What the runner drives: two pure functions over one state.

    `data` is whatever stays fixed during a run and should not be compiled in: demonstrations, or
    the parameters of a frozen reward. `eval_shape(step)` equals the state it was given, always.
    """

    init: Callable[[Key, PyTree], PyTree]  # (key, data) -> state
    step: Callable[[PyTree, PyTree], tuple[PyTree, Metrics]]  # (state, data) -> state, metrics
    policy: Callable[..., Policy]  # (state, deterministic=False) -> Policy
    reward: Callable[[PyTree], PyTree]  # state -> parameters of the recovered reward, or ()
    steps_per_iteration: int  # environment steps in one call of `step`; 0 for offline methods
    parts: Parts = Parts()  # of a step, that devices may share
