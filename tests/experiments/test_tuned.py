"""Tuned values: all of them can be made, and some are compared with the published table."""

import pytest

from evil import environments, registry
from evil.errors import UserError
from evil.experiments import clone
from evil.experiments.settings import algorithms, tuned

ENV = environments.make("pendulum")


@pytest.mark.parametrize("number", [5, 10, 25])
@pytest.mark.parametrize("name", [*tuned.TUNED, *tuned.ALIASES])
def test_every_tuned_algorithm_can_be_made(name, number):
    config = algorithms.imitation(name, "pendulum", "paper", num_demos=number, is_tuned=True)
    assert (algorithms.name(config), config.num_demos) == (name, number)
    registry.make(config.bc if isinstance(config, clone.Config) else config.algorithm, ENV)


def game(name, number, env="pendulum"):
    config = algorithms.imitation(name, env, "paper", num_demos=number, is_tuned=True)
    assert not isinstance(config, clone.Config)
    return config.algorithm


def test_the_published_table():
    adril = [game("adril", number) for number in (5, 10, 25)]
    # With five episodes AdRIL without rounds was found: SQIL, on whole batches in turn.
    assert [one.reward.kind for one in adril] == ["sqil", "adril", "adril"]
    assert [one.learner.alternate for one in adril] == [True, False, True]
    # 12,500 and 25,000 steps, in rollouts of 256.
    assert [one.learner.round_length for one in adril] == [0, 12544, 25088]
    gail = game("gail", 5)
    assert gail == game("dac", 5)
    assert (gail.reward.loss, gail.reward.reward, gail.reward.spectral) == ("mixup", "airl", True)
    assert gail.reward.absorbing_steps == 43  # 0.97742 / (1 - 0.97742)
    assert game("red", 10).reward.activation == "tanh"
    assert game("dril", 25).reward.hidden == (32, 32)
    assert game("pwil", 10).reward.scale == 10.0
    assert game("gmmil", 25).learner.discount == 0.95
    # Batches of the learner's size are those of whatever is fitted.
    assert [game("dac", number).reward.batch_size for number in (5, 10, 25)] == [1024, 512, 256]
    assert [game("red", number).reward.fit_batch_size for number in (5, 10)] == [128, 1024]
    dril = game("dril", 10)
    assert (dril.reward.fit_batch_size, dril.learner.cloning_batch) == (128, 128)
    learner = game("dac", 25).learner
    assert (learner.warmup, learner.batch_size, learner.target_entropy) == (10000, 256, -0.64189)
    assert learner.learning_rate == learner.final_learning_rate == 2.9839e-4


def test_clones_are_trained_as_long_as_was_found():
    config = algorithms.imitation("bc", "pendulum", "quick", num_demos=5, is_tuned=True)
    assert isinstance(config, clone.Config)
    assert config.iterations * config.bc.updates_per_iteration == 29300
    assert config.bc.patience > config.iterations  # nothing ends it before
    assert config.bc.validation_fraction == 0.0


def test_choices_keep_their_own_target():
    assert game("dac", 5, "cartpole").learner.target_entropy is None


def test_what_was_not_tuned():
    with pytest.raises(UserError, match="unknown tuned algorithm 'airl'"):
        algorithms.imitation("airl", "pendulum", "quick", num_demos=5, is_tuned=True)
    with pytest.raises(UserError, match="num_demos 5, 10, 25: found 7"):
        algorithms.imitation("bc", "pendulum", "quick", num_demos=7, is_tuned=True)
