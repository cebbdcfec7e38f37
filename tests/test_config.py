"""Configs with changes; their round trip through JSON is a contract of the registry."""

import pytest

from evil import config
from evil.errors import UserError
from evil.imitation import irl


def test_override_reaches_into_nested_configs():
    found = config.override(
        irl.Config(),
        {"capacity": 1024, "learner.discount": 0.9, "reward.member.hidden": (8,)},
    )
    assert found.capacity == 1024
    assert found.learner.discount == 0.9
    assert found.reward.member.hidden == (8,)
    unchanged = {"capacity": 153_600, "learner.discount": 0.99, "reward.member.hidden": (64, 64)}
    assert config.override(found, unchanged) == irl.Config()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    with pytest.raises(UserError, match=f"clip must be finite, found {value}"):
        config.to_dict(config.override(irl.Config(), {"learner.clip": value}))


@pytest.mark.parametrize("path", ["capcity", "learner.discont", "reward.member.nothing"])
def test_override_names_an_unknown_field(path):
    with pytest.raises(UserError, match=path.rpartition(".")[2]):
        config.override(irl.Config(), {path: 1})
