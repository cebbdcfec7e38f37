"""The public surface: every name loads, is documented, and stands where the docstring says."""

from __future__ import annotations

import inspect

import pytest

import evil

NAMES = [name for name in dir(evil) if not name.startswith("_") and name in evil._WHERE]


def test_the_surface_is_short() -> None:
    assert 10 <= len(NAMES) <= 30


@pytest.mark.parametrize("name", NAMES)
def test_every_name_loads_and_says_what_it_is(name: str) -> None:
    thing = getattr(evil, name)
    assert inspect.getdoc(thing)
    assert name in (evil.__doc__ or "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'gail'"):
        _ = evil.gail


def test_a_config_builds_what_it_describes(key) -> None:
    env = evil.environments.make("gridworld")
    learner = evil.make(
        evil.ppo.Config(num_envs=4, num_steps=4, num_minibatches=2), env, evil.fixed.real()
    )
    assert isinstance(learner, evil.Learner)
    assert learner.steps_per_iteration == 16
