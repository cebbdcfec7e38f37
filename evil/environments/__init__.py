"""Environments by name: one adapter per family, all behind `evil.seams.Environment`.

The names below are the library's own and are what files are named after; any other id that Gymnax
knows works too. Heavy packages are imported when an environment of theirs is made.
"""

from __future__ import annotations

import dataclasses

from evil.environments import brax, gridworld, gridworld50, gymnax
from evil.errors import UserError, unknown
from evil.seams import Environment

__all__ = ["canonical", "make", "names"]

BRAX = ("hopper", "walker2d", "ant", "humanoid", "halfcheetah")
GYMNAX = {"cartpole": "CartPole-v1", "pendulum": "Pendulum-v1", "reacher": "Reacher-misc"}
GRIDS = {"gridworld": gridworld.make, "gridworld50": gridworld50.make}
ALIASES = {"walker": "walker2d", "cheetah": "halfcheetah"} | {v: k for k, v in GYMNAX.items()}


def names() -> tuple[str, ...]:
    """The library's own names, without aliases."""
    return (*BRAX, *GYMNAX, *GRIDS)


def canonical(name: str) -> str:
    """The one name that files use for `name`: `walker` is walker2d, `CartPole-v1` is cartpole."""
    short = ALIASES.get(name, name)
    if short in names():
        return short
    known = gymnax.registered()  # costs seconds, so our own names come first
    if short not in known:
        raise unknown("environment", name, {*names(), *ALIASES, *known})
    return short


def make(name: str, backend: str | None = None) -> Environment:
    """The environment `name`; its spec carries the canonical name.

    Args:
        name: one of `names()`, an alias of one, or any registered Gymnax id.
        backend: physics of the Brax environments (`evil.environments.brax.BACKENDS`; positional
            if None). No other environment has one.
    """
    short = canonical(name)
    if short in BRAX:
        return brax.make(short) if backend is None else brax.make(short, backend)
    if backend is not None:
        raise UserError(f"{short} has no physics backends, but backend {backend!r} was given.")
    if short in GRIDS:
        return GRIDS[short]()
    env = gymnax.make(GYMNAX.get(short, short))
    return dataclasses.replace(env, spec=dataclasses.replace(env.spec, name=short))
