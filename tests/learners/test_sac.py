"""SAC on worlds whose values and best actions are known, and what a step does, by its effects."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.learners import sac, soft
from evil.networks import actor_critic
from evil.networks.critics import Critics
from evil.pytrees import take
from evil.rewards import fixed, memoryless
from evil.seams import Score
from tests.learners.probes import SPECS, STATES, environment, train

DISCOUNT = 0.8
ITERATIONS = 40
CONFIG = sac.Config(
    num_envs=16,
    num_steps=4,
    update_ratio=0.25,
    batch_size=64,
    capacity=2048,
    warmup=64,
    network=dataclasses.replace(
        sac.Config().network, hidden=(32,), initial_log_std=-1.0, normalise_observations=False
    ),
    learning_rate=1e-2,
    final_learning_rate=1e-3,
    anneal_iterations=ITERATIONS,
    discount=DISCOUNT,
    retention=0.9,
    temperature=0.01,
    learn_temperature=False,
    num_starts=16,
)


def networks(config, spec):
    module = actor_critic.make(config.network, spec)
    return soft.Networks(module, Critics(spec, module.hidden, module.activation))


@pytest.fixture(scope="module", params=SPECS)
def trained(request):
    """Values [3] and greedy actions [3] of SAC in each of the worlds, trained side by side."""
    learner = sac.make(CONFIG, environment(request.param), fixed.real())
    judges = networks(CONFIG, SPECS[request.param])

    def values(state, actions):
        return judges.values(state.weights.critics, STATES, actions).mean(0)

    return train(learner, values, ITERATIONS)


def test_one_step_is_worth_its_reward(trained):
    values, _, _ = trained["value"]
    np.testing.assert_allclose(values[0], 1.0, atol=0.03)


def test_values_depend_on_the_observation(trained):
    values, _, _ = trained["value_of_observation"]
    np.testing.assert_allclose(values[:2], [1.0, -1.0], atol=0.03)


def test_a_delayed_reward_is_discounted(trained):
    values, _, _ = trained["delayed_value"]
    np.testing.assert_allclose(values[:2], [DISCOUNT, 1.0], atol=0.05)


def test_the_better_action_is_found(trained):
    values, actions, _ = trained["action"]
    np.testing.assert_allclose(actions[0], 1.0, atol=0.15)
    np.testing.assert_allclose(values[0], 1.0, atol=0.1)


def test_the_better_action_depends_on_the_observation(trained):
    _, actions, _ = trained["action_by_observation"]
    np.testing.assert_allclose(actions[:2], [0.0, 1.0], atol=0.15)


def test_a_time_limit_does_not_end_the_values(trained):
    # Nothing, then one per step; truncated after five, in state 1, while the next episode starts in
    # state 0: 1 + γ + γ² + ... = 1 / (1 - γ) all the same.
    values, _, metrics = trained["time_limit"]
    for_ever = 1 / (1 - DISCOUNT)
    np.testing.assert_allclose(values[:2], [DISCOUNT * for_ever, for_ever], rtol=0.04)
    assert metrics["agent/length"][-1] == 5 and metrics["agent/return"][-1] == 4


def test_the_end_of_a_task_does(trained):
    values, _, metrics = trained["end_of_task"]
    expected = [1 + DISCOUNT + DISCOUNT**2, 1 + DISCOUNT, 1.0]
    np.testing.assert_allclose(values, expected, atol=0.1)
    assert metrics["agent/length"][-1] == 3 and metrics["agent/return"][-1] == 3


# The parts of an update, by hand.


def test_targets_by_hand():
    found = soft.targets(
        jnp.array([1.0, 2.0]), jnp.array([False, True]), jnp.array([10.0, 10.0]), discount=0.9
    )
    np.testing.assert_allclose(found, [10.0, 2.0])


def test_both_critics_are_fitted():
    values, target = jnp.array([[1.0, 2.0], [0.0, 5.0]]), jnp.array([0.0, 3.0])
    np.testing.assert_allclose(soft.critic_loss(values, target), (1 + 1) / 2 + (0 + 4) / 2)


@pytest.mark.parametrize(("entropy", "sign"), [(0.5, -1), (1.0, 0), (2.0, 1)])
def test_the_temperature_rises_below_the_target(entropy, sign):
    slope = jax.grad(soft.temperature_loss)(jnp.log(2.0), jnp.full(4, entropy), 1.0)
    np.testing.assert_allclose(slope, 2.0 * (entropy - 1.0), atol=1e-6)
    assert np.sign(slope) == sign


def test_the_slow_critics_follow():
    np.testing.assert_allclose(soft.follow(jnp.array(1.0), jnp.array(3.0), 0.9), 1.2)


def test_the_soft_value_of_choices_is_a_sum():
    both = networks(CONFIG, SPECS["discrete"])
    weights = both.init(jax.random.key(3), 1.0)
    value, entropy = both.soft_value(
        weights.actor, weights.critics, STATES, jax.random.key(0), jnp.float32(0.3)
    )
    logits = both.actor.apply(weights.actor, STATES, method="actor")["logits"]
    probability = np.asarray(jax.nn.softmax(logits))
    q = [both.values(weights.critics, STATES, jnp.full(3, a)) for a in (0, 1)]
    least = np.stack(q, -1).min(0)
    expected = -(probability * np.log(probability)).sum(-1)
    np.testing.assert_allclose(entropy, expected, rtol=1e-5)
    expected = (probability * least).sum(-1) + 0.3 * expected
    np.testing.assert_allclose(value, expected, atol=1e-6)


def test_the_soft_value_of_vectors_is_that_of_a_sample():
    both = networks(CONFIG, SPECS["continuous"])
    weights = both.init(jax.random.key(3), 1.0)
    key = jax.random.key(0)
    value, entropy = both.soft_value(weights.actor, weights.critics, STATES, key, jnp.float32(0.3))
    family, outputs = both.actor.family, both.actor.apply(weights.actor, STATES, method="actor")
    latent = family.sample(outputs, key)
    np.testing.assert_allclose(entropy, -family.log_prob(outputs, latent), rtol=1e-5)
    least = both.values(weights.critics, STATES, family.apply(latent)).min(0)
    np.testing.assert_allclose(value, least + 0.3 * entropy, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("continuous", None, -1.0),
        ("continuous", -0.5, -0.5),
        ("discrete", None, 0.5 * np.log(2)),
        ("discrete", 0.9, 0.9 * np.log(2)),
    ],
)
def test_the_entropy_that_is_aimed_at(kind, target, expected):
    config = dataclasses.replace(CONFIG, target_entropy=target)
    np.testing.assert_allclose(soft.target_entropy(SPECS[kind], config.target_entropy), expected)


# A program of one update on a reward that is one number, for what can be seen at once.

NUMBER = memoryless(lambda params, transitions: jnp.full_like(transitions.reward, 1.0) * params)
SMALL = dataclasses.replace(
    CONFIG,
    num_envs=4,
    num_steps=2,
    update_ratio=0.125,
    batch_size=32,
    capacity=20,  # rounded up to 24
    warmup=16,
    anneal_iterations=0,
    learn_temperature=True,
    network=dataclasses.replace(CONFIG.network, normalise_observations=True),
)


@dataclasses.dataclass(frozen=True)
class Small:
    learner: object
    init: object
    step: object


def small(kind="discrete", score=NUMBER, **changes):
    learner = sac.make(dataclasses.replace(SMALL, **changes), environment(kind), score)
    return Small(learner, jax.jit(learner.init), jax.jit(learner.step))


@pytest.fixture(scope="module")
def asked_anew():
    return small(learning_rate=0.0)


@pytest.fixture(scope="module")
def asked_once():
    return small(learning_rate=0.0, scoring="collected")


def losses(program, *numbers):
    """The critics' loss in every step, when the reward is one number after another."""
    state, found = program.init(jax.random.key(0)), []
    for number in numbers:
        state, _, metrics = program.step(state, jnp.float32(number))
        found.append(float(metrics["learner/critic_loss"]))
    return state, found


def test_old_rows_are_worth_what_the_present_reward_says(asked_anew):
    state, found = losses(asked_anew, 1000.0, 0.0)
    assert state.store.ring.rows.reward is None
    np.testing.assert_allclose(found[0], 2 * 1000.0**2, rtol=0.01)  # of two untrained critics
    assert found[1] < 10


def test_or_what_it_said_when_they_were_collected(asked_once):
    state, found = losses(asked_once, 1000.0, 0.0)
    np.testing.assert_array_equal(state.store.ring.rows.reward[:16], [1000.0] * 8 + [0.0] * 8)
    assert 0.2 * found[0] < found[1] < 0.8 * found[0]  # half of the rows, on average


def counting(params, memory, transitions):
    """A reward with memory: how many steps each environment has been through."""
    steps = memory[None] + jnp.arange(1.0, transitions.reward.shape[0] + 1)[:, None]
    return steps + params, steps[-1]


def test_rewards_with_memory_are_stored():
    score = Score(apply=counting, memory=jnp.zeros)
    program = small(score=score)
    state, _ = losses(program, 0.0, 0.0)
    np.testing.assert_array_equal(state.store.ring.rows.reward[:16], np.repeat([1, 2, 3, 4], 4))
    with pytest.raises(UserError, match="episode memory needs scoring collected"):
        small(score=score, scoring="sampled")


def test_the_replay_holds_what_happened(asked_anew):
    state = asked_anew.init(jax.random.key(0))
    assert state.store.ring.rows.transition.obs.shape == (24, 3)
    for index in range(4):
        state, rollout, _ = asked_anew.step(state, jnp.float32(0.0))
        first = 8 * (index % 3)
        stored = take(state.store.ring.rows.transition, jnp.arange(first, first + 8))
        flat = jax.tree.map(lambda x: x.reshape((8, *x.shape[2:])), rollout)
        for name in ("obs", "action", "next_obs", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(stored, name), getattr(flat, name))
    assert state.store.ring.count == 24


def test_the_rollout_knows_its_log_probabilities(asked_anew):
    state = asked_anew.init(jax.random.key(0))
    _, rollout, _ = asked_anew.step(state, jnp.float32(0.0))
    both = networks(SMALL, SPECS["discrete"])
    logits = both.actor.apply(state.weights.actor, rollout.obs, method="actor")["logits"]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), rollout.action[..., None], -1)
    np.testing.assert_allclose(rollout.log_prob, chosen[..., 0], rtol=1e-4)


def distance(first, second):
    squares = jax.tree.map(
        lambda x, y: np.square(np.asarray(x) - np.asarray(y)).sum(), first, second
    )
    return np.sqrt(sum(jax.tree.leaves(squares)))


def test_nothing_is_learned_before_the_replay_is_warm():
    program = small(learning_rate=0.01)
    first = program.init(jax.random.key(0))
    second, _, metrics = program.step(first, jnp.float32(1.0))
    assert metrics["learner/learning_rate"] == 0.0
    for name in ("actor", "critics", "slow_critics", "log_temperature"):
        assert distance(getattr(first.weights, name), getattr(second.weights, name)) == 0
    third, _, metrics = program.step(second, jnp.float32(1.0))
    np.testing.assert_allclose(metrics["learner/learning_rate"], 0.01)
    for name in ("actor", "critics", "slow_critics", "log_temperature"):
        assert distance(getattr(second.weights, name), getattr(third.weights, name)) > 0

    # A fresh policy with the same past.
    fresh = jax.jit(program.learner.reset_policy)(jax.random.key(1), third)
    assert distance(fresh.weights.actor, third.weights.actor) > 0.1
    assert all((x == 0).all() for x in jax.tree.leaves(fresh.weights.optimiser))
    assert fresh.iteration == 0 and fresh.store.ring.count == third.store.ring.count
    jax.tree.map(np.testing.assert_array_equal, fresh.store, third.store)

    # Step sizes are data.
    hyper = dataclasses.replace(second.hyper, learning_rate=jnp.float32(0.0))
    still = program.step(dataclasses.replace(second, hyper=hyper), jnp.float32(1.0))[0]
    assert distance(still.weights.actor, second.weights.actor) == 0


def test_a_step_copies_no_replay():
    capacity = 100_000
    learner = sac.make(
        dataclasses.replace(SMALL, capacity=capacity), environment("continuous"), fixed.real()
    )
    state = jax.eval_shape(learner.init, jax.random.key(0))
    raw = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.store.ring.rows))
    assert raw >= capacity * 4 * (3 + 3 + 1 + 1)
    program = jax.jit(learner.step, donate_argnums=0).lower(state, ()).compile()
    used = program.memory_analysis()
    total = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    assert total - used.alias_size_in_bytes < 1.1 * raw


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"update_ratio": 0.1}, "0.1 times the 8 transitions of a rollout is no whole number"),
        ({"update_ratio": 0.01}, "no whole number"),
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"discount": 1.5}, "discount must be from 0 to 1, found 1.5"),
        ({"retention": float("nan")}, "retention must be from 0 to 1, found nan"),
        ({"learning_rate": -1e-4}, "learning_rate must be at least 0"),
        ({"scoring": "sampld"}, "did you mean sampled"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        (
            {"network": dataclasses.replace(SMALL.network, distribution="gaussian")},
            "expected distribution squashed, found gaussian",
        ),
    ],
)
def test_bad_options_are_the_users_error(changes, said):
    with pytest.raises(UserError, match=said):
        small("continuous", **changes)
