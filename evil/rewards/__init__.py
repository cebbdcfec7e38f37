"""Rewards: fixed ones, learned ones, and their combinations."""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

from evil.seams import PyTree, Score, Transition


def memoryless(
    function: Callable[[PyTree, Transition], Array], *, pays_absorbing: bool = False
) -> Score:
    """A score from `(params, transitions [...]) -> rewards [...]` that looks at each step alone."""

    def apply(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        return function(params, transitions), memory

    return Score(apply=apply, pays_absorbing=pays_absorbing)
