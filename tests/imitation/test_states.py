"""Demonstrations without actions: what learns from states is none the worse, the rest refuses."""

import dataclasses

import jax
import pytest

from evil import environments, registry
from evil.config import override
from evil.demonstrations import catalogue, files
from evil.errors import UserError
from evil.experiments import dagger, finite, recover
from evil.experiments.settings import algorithms, presets
from evil.imitation import bc
from evil.rewards import adversarial, coupling, disagreement, ensemble, kernel, support
from tests.imitation.test_pretraining import DEMOS, ENV, LEARNERS, game

WATCHED = dataclasses.replace(DEMOS, action=None)


def test_the_game_on_states_does_not_look_at_actions():
    reward = adversarial.Config(inputs="ss", hidden=(8,), batch_size=16)
    made = game(LEARNERS["ppo"], 0, reward=reward)

    def play(demos):
        return made.step(made.init(jax.random.key(0), demos), demos)

    assert jax.eval_shape(play, WATCHED) == jax.eval_shape(play, DEMOS)


@pytest.mark.parametrize(
    "reward",
    [
        adversarial.Config(inputs="sa"),
        adversarial.Config(inputs="s", subtract_log_policy=True),
        coupling.Config(inputs="sas"),
        disagreement.Config(),
        ensemble.Config(),
        kernel.Config(inputs="sa"),
        support.Config(inputs="sa"),
    ],
    ids=lambda config: type(config).__module__.rpartition(".")[2],
)
def test_rewards_of_actions_refuse(reward):
    if isinstance(reward, ensemble.Config):
        reward = override(reward, {"member.inputs": "sa"})
    with pytest.raises(UserError, match="actions, which these demonstrations do not hold"):
        jax.eval_shape(registry.make(reward, ENV).init, jax.random.key(0), WATCHED)


@pytest.mark.parametrize("changes", [{"expert_share": 0.5}, {"cloning_batch": 8}, {"prefill": 8}])
def test_learners_of_the_experts_rows_refuse(changes):
    learner = dataclasses.replace(LEARNERS["sac"], **changes)
    made = game(learner, 0, reward=adversarial.Config(inputs="s"))
    with pytest.raises(UserError, match="expert's rows needs the expert's actions"):
        jax.eval_shape(made.init, jax.random.key(0), WATCHED)


def test_cloning_refuses():
    made = game(LEARNERS["ppo"], 1, reward=adversarial.Config(inputs="s"))
    for algorithm in (made, bc.make(bc.Config(), ENV)):
        with pytest.raises(UserError, match="cloning needs the expert's actions"):
            jax.eval_shape(algorithm.init, jax.random.key(0), WATCHED)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A file of the small gridworld without actions."""
    spec = environments.make("gridworld").spec
    demos, _ = catalogue.demonstrations(spec)
    path = tmp_path_factory.mktemp("watched") / "grid.npz"
    return str(files.save(path, dataclasses.replace(demos, action=None), spec, {}))


def test_studies_refuse_before_they_run(watched):
    smoke = [algorithms.imitation(name, "gridworld", "smoke") for name in ("bc", "dril", "sqil")]
    makers = [(algorithms.study, dataclasses.replace(config, demos=watched)) for config in smoke]
    warm = override(presets.dagging("gridworld", "smoke"), {"dagger.warm_start": "bc"})
    makers.append((dagger.study, dataclasses.replace(warm, demos=watched)))
    makers.append((finite.study, finite.Config(env="gridworld", demos=watched)))
    for study, config in makers:
        with pytest.raises(UserError, match="needs the expert's actions"):
            study(config)


def test_the_main_study_leaves_its_baseline_out(watched):
    config = presets.recovery("gridworld", "smoke", irl_plus=True)
    assert config.bc_iterations
    whole, alone = (recover.study(dataclasses.replace(config, demos=x)) for x in (None, watched))
    assert whole.clones and not whole.notes
    assert not alone.clones and "nothing is cloned" in alone.notes[0]


def test_a_coupling_says_what_it_leaves_out():
    config = algorithms.imitation("pwil", "gridworld", "smoke", num_demos=10)
    study = recover.study(config)
    count, limit = int(study.problem.demos.count), config.algorithm.reward.max_rows
    assert limit < count
    assert study.notes[0].startswith(f"the reward matches {limit} of {count} demonstrated steps")
    assert not recover.study(override(config, {"algorithm.reward.max_rows": count})).notes
