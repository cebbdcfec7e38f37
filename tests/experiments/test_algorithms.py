"""Algorithms by name: each can be made, and each gets better at something small within seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments
from evil.config import override
from evil.demonstrations.demonstrations import from_episodes, transitions
from evil.errors import UserError
from evil.evaluation import episodes
from evil.experiments import clone
from evil.experiments.settings import algorithms, presets
from evil.imitation import bc, irl
from evil.learners import ppo, sac
from evil.rewards import fixed
from evil.running import settings
from evil.seams import Environment, Spec, Step

LENGTH = 8


def reset(key, params):
    position = jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)
    return position, position


def step(key, position, action, params):
    """Move by half the action; the nearer to one, the better."""
    position = jnp.clip(position + 0.5 * action, -2.0, 2.0)
    no = jnp.zeros((), bool)
    paid = -jnp.abs(position - 1.0)[0]
    return position, Step(next_obs=position, reward=paid, terminated=no, truncated=no)


POINT = Environment(
    spec=Spec("point", (1,), LENGTH, action_size=1, action_low=(-1.0,), action_high=(1.0,)),
    params=(),
    reset=reset,
    step=step,
)


def demonstrations():
    """Eight episodes of somebody who goes to one and stays."""
    found = []
    for start in np.linspace(-1.0, 1.0, 8):
        obs, acted = [[start]], []
        for _ in range(LENGTH):
            acted.append(np.clip([2.0 * (1.0 - obs[-1][0])], -0.9, 0.9))
            obs.append(obs[-1] + 0.5 * acted[-1])
        reward = -np.abs(np.array(obs[1:])[:, 0] - 1.0)
        found.append({"obs": np.array(obs), "action": np.array(acted), "reward": reward})
    return from_episodes(found)


DEMOS = demonstrations()
KEYS = jax.random.split(jax.random.key(0), 3)
SMALL = {
    "sac": {
        "learner.num_envs": 8, "learner.num_steps": 4, "learner.update_ratio": 0.5,
        "learner.batch_size": 64, "learner.capacity": 4096, "learner.warmup": 64,
        "learner.learning_rate": 3e-3, "learner.final_learning_rate": 3e-3,
        "learner.discount": 0.9, "learner.num_starts": 8,
        "rows_per_iteration": 32, "capacity": 4096,
    },
    "ppo": {
        "learner.num_envs": 16, "learner.num_steps": 16, "learner.num_minibatches": 2,
        "learner.num_epochs": 4, "learner.learning_rate": 3e-3, "learner.discount": 0.9,
        "learner.num_starts": 8,
    },
}  # fmt: skip


def small(name, **changes):
    """The game of an algorithm at the size of the probe."""
    found = algorithms.imitation(name, "pendulum", "smoke", iterations=100).algorithm
    return override(found, SMALL[algorithms.METHODS[name].learner] | changes)


def gains(config, iterations):
    """Share of the way from random actions to the expert, median of three seeds."""
    game = irl.make(config, POINT)

    def train(key):
        state = game.init(key, DEMOS)
        state, _ = jax.lax.scan(lambda s, _: game.step(s, DEMOS), state, None, iterations)
        return episodes.returns(POINT, game.policy(state, deterministic=True), key, 32)[0].mean()

    # The program is small and runs once: what takes time is compiling it.
    program = (
        jax.jit(jax.vmap(train)).lower(KEYS).compile(settings.compiler_options(runs_once=True))
    )
    found = jnp.median(program(KEYS))
    at_random = episodes.returns(POINT, episodes.random_policy(POINT), jax.random.key(1), 32)[0]
    expert = DEMOS.reward.sum(1).mean()
    return float((found - at_random.mean()) / (expert - at_random.mean()))


IN_SECONDS = ("dac", "pwil")
SLOWLY = ("adril", "airl", "dril", "fairl", "gail", "gmmil", "red", "sac", "sqil")


@pytest.mark.parametrize(
    "name", [*IN_SECONDS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWLY)]
)
def test_it_gets_better(name):
    learner = algorithms.METHODS[name].learner
    assert gains(small(name), 150 if learner == "sac" else 100) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("airl", {"reward.hidden": ()}),  # |s - 1| is not linear
        ("fairl", {"reward.reward": "fairl"}),  # it drives the policy away from the expert
    ],
)
def test_two_do_not_in_the_form_of_part_of_the_literature(name, changes):
    assert gains(small(name, **changes), 100) < 0.0


@pytest.mark.parametrize("name", sorted(algorithms.METHODS))
@pytest.mark.parametrize(
    ("env", "preset"),
    [
        ("pendulum", "quick"),
        ("cartpole", "paper"),
        ("gridworld", "smoke"),
        ("gridworld50", "quick"),
    ],
)
def test_every_algorithm_can_be_made(name, env, preset):
    config = algorithms.imitation(name, env, preset, num_demos=3)
    irl.make(config.algorithm, environments.make(env))
    assert (config.method, config.num_demos, config.num_retrained) == (name, 3, 0)
    assert algorithms.name(config) == name


def test_cloning_is_one_of_them():
    config = algorithms.imitation("bc", "pendulum", "quick", num_demos=3, iterations=7)
    assert isinstance(config, clone.Config)
    assert (config.num_demos, config.iterations, algorithms.name(config)) == (3, 7, "bc")
    bc.make(config.bc, environments.make("pendulum"))


def test_what_is_said_of_each():
    """The parts that the table names, for sizes that are known."""
    named = {
        name: algorithms.imitation(name, "pendulum", "paper").algorithm
        for name in algorithms.METHODS
    }
    # A rollout has 256 steps: 1250 are five of them.
    adril = named["adril"].learner
    assert (adril.round_length, adril.expert_share, adril.alternate) == (1280, 0.5, True)
    assert (named["sqil"].learner.expert_share, named["sqil"].learner.alternate) == (0.5, False)
    # One update of the classifier per update of the learner; ends are paid for 0.97 / 0.03 steps.
    assert named["dac"].updates_per_iteration == 256
    assert named["dac"].reward.absorbing_steps == 32
    assert (named["dac"].capacity, named["dac"].history) == (1_000_192, "all")
    assert (named["dril"].learner.cloning_batch, named["red"].learner.cloning_batch) == (256, 0)
    # The kernel sees the last sixteen rollouts.
    assert (named["gmmil"].capacity, named["gmmil"].rows_per_iteration) == (4096, 256)
    assert named["red"].history == "current" and named["red"].updates_per_iteration == 1
    forms = {name: named[name].reward for name in ("airl", "fairl", "gail")}
    assert [form.reward for form in forms.values()] == ["airl", "ratio", "gail"]
    assert [form.shaped for form in forms.values()] == [True, False, False]


def test_the_real_reward_is_learned_from_where_no_expert_is_shipped():
    config = algorithms.imitation("sac", "MountainCar-v0", "smoke", num_demos=10)
    study = algorithms.study(config)
    assert study.problem.expert_return is None and study.problem.demos.obs.shape[0] == 0
    state = jax.eval_shape(study.game.init, jax.random.key(0), study.problem.demos)
    after, metrics = jax.eval_shape(study.game.step, state, study.problem.demos)
    assert after == state and not any(name.startswith("reward/") for name in metrics)
    for name, changes in (("sqil", {}), ("sac", {"bc_iterations": 1}),
                          ("sac", {"algorithm.learner.cloning_batch": 8})):  # fmt: skip
        config = algorithms.imitation(name, "MountainCar-v0", "smoke")
        with pytest.raises(UserError, match="no expert is shipped for MountainCar-v0"):
            algorithms.study(override(config, changes))


def test_choices_have_no_negative_entropy():
    vectors, choices = (
        algorithms.imitation("dac", env, "quick").algorithm.learner.target_entropy
        for env in ("pendulum", "cartpole")
    )
    assert (vectors, choices) == (-0.5, None)


@pytest.mark.parametrize("change", [{"kind": "reel"}, {"batch_size": 0}])
def test_a_known_reward_is_checked(change):
    with pytest.raises(UserError, match=r"did you mean real|batch_size must be at least 1"):
        fixed.make(fixed.Config(**change), POINT)


def test_a_known_reward_is_scaled():
    model = fixed.make(fixed.Config(scale=3.0), POINT)
    rows = transitions(DEMOS, jnp.arange(2))
    params = model.params(model.init(jax.random.key(0), DEMOS))
    np.testing.assert_allclose(model.score.apply(params, (), rows)[0], 3.0 * rows.reward)


@pytest.mark.parametrize("name", ["airl", "dac", "dril", "fairl", "gail", "gmmil", "pwil", "red"])
def test_a_reward_of_steps_goes_with_either_learner(name):
    for env, preset in (("pendulum", "quick"), ("cartpole", "smoke")):
        found = [
            algorithms.imitation(name, env, preset, learner=learner).algorithm
            for learner in presets.LEARNERS
        ]
        for game, kind in zip(found, (ppo, sac), strict=True):
            assert isinstance(game.learner, kind.Config)
            irl.make(game, environments.make(env))
    own = algorithms.imitation(name, "pendulum", "quick").algorithm
    assert own == found_for(name, algorithms.METHODS[name].learner)


def found_for(name, learner):
    return algorithms.imitation(name, "pendulum", "quick", learner=learner).algorithm


def test_what_goes_with_a_reward_stays_with_it():
    ours = {name: found_for(name, "ppo") for name in ("dac", "dril", "gmmil", "red")}
    assert ours["dril"].learner.cloning_batch == 256
    assert ours["dac"].reward.absorbing_steps == 19  # pendulum discounts by 0.95
    assert ours["gmmil"].reward.absorbing_steps == 19
    assert (ours["red"].updates_per_iteration, ours["red"].history) == (1, "current")
    assert found_for("airl", "sac").reward.shaping_discount == 0.95


@pytest.mark.parametrize("name", ["red", "gmmil"])
def test_it_gets_better_with_the_other_learner(name):
    game = algorithms.imitation(name, "pendulum", "smoke", iterations=100, learner="ppo").algorithm
    assert gains(override(game, SMALL["ppo"]), 60) > 0.3


@pytest.mark.parametrize(
    ("name", "learner", "message"),
    [
        ("sqil", "ppo", "sqil does not go with --learner ppo"),
        ("ppo", "sac", "ppo does not go with --learner sac"),
        ("bc", "ppo", "bc does not go with --learner ppo"),
        ("gail", "pqo", "did you mean ppo"),
    ],
)
def test_what_does_not_go_together_is_refused(name, learner, message):
    with pytest.raises(UserError, match=message):
        algorithms.imitation(name, "pendulum", "quick", learner=learner)


def test_tuned_values_go_with_their_own_learner():
    with pytest.raises(UserError, match="no --learner"):
        algorithms.imitation(
            "gail", "pendulum", "paper", num_demos=10, learner="sac", is_tuned=True
        )
