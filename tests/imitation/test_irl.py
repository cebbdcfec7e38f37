"""The game against a known expert: the policy ends up doing what the expert does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.imitation import irl
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import ensemble, moment_matching
from evil.rewards.fixed import real
from evil.seams import Environment, Spec, Step

LENGTH = 4
SEEDS = 4  # a game need not settle: what counts is where most of them do


def reset(key, params):
    return jnp.zeros((), jnp.int32), jnp.zeros((1,))


def bandit_step(key, state, action, params):
    """One step, three actions; the environment's own reward misleads."""
    return state, Step(
        next_obs=jnp.zeros((1,)),
        reward=(action == 1).astype(jnp.float32),
        terminated=jnp.ones((), bool),
        truncated=jnp.zeros((), bool),
    )


def chain_step(key, position, action, params):
    """Walk left (0) or right (1) for four steps; the environment's own reward is for left."""
    position = position + 2 * action - 1
    return position, Step(
        next_obs=position.astype(jnp.float32)[None],
        reward=(action == 0).astype(jnp.float32),
        terminated=jnp.zeros((), bool),
        truncated=jnp.zeros((), bool),
    )


BANDIT = Environment(
    spec=Spec(name="bandit", obs_shape=(1,), time_limit=LENGTH, num_actions=3),
    params=(),
    reset=reset,
    step=bandit_step,
)
CHAIN = Environment(
    spec=Spec(name="chain", obs_shape=(1,), time_limit=LENGTH, num_actions=2),
    params=(),
    reset=reset,
    step=chain_step,
)
LEARNER = ppo.Config(
    num_envs=16,
    num_steps=8,
    num_epochs=4,
    num_minibatches=2,
    network=actor_critic.Config(hidden=(16,)),
    learning_rate=3e-3,
    entropy_coefficient=0.05,  # a policy that has made up its mind cannot follow the reward
    num_starts=4,
)
REWARD = moment_matching.Config(
    inputs="sa",
    hidden=(16,),
    batch_size=32,
    gradient_target=0.1,
    learning_rate=1e-2,
    schedule="constant",
    deviation_floor=0.5,  # this expert's actions have no deviation
)


def bandit_demonstrations(action):
    episode = {"obs": np.zeros((2, 1)), "action": np.array([action]), "terminated": True}
    return from_episodes([episode] * 4)


def chain_demonstrations(direction):
    obs = np.arange(LENGTH + 1.0)[:, None] * (2 * direction - 1)
    return from_episodes([{"obs": obs, "action": np.full(LENGTH, direction)}] * 2)


def trainer(config, env, iterations, obs):
    """A function from a key and demonstrations to action frequencies at `obs` and reward gaps.

    Both are medians over seeds: `[A]` and `[iterations]`.
    """
    algorithm = irl.make(config, env)

    def train(key, demos):
        state = algorithm.init(key, demos)
        state, metrics = jax.lax.scan(
            lambda state, _: algorithm.step(state, demos), state, None, iterations
        )
        policy = algorithm.policy(state)
        actions, _ = policy.act(policy.params, jnp.full((500, 1), obs), key, ())
        return jax.nn.one_hot(actions, env.spec.num_actions).mean(0), metrics["reward/gap"]

    def medians(key, demos):
        results = jax.vmap(train, (0, None))(jax.random.split(key, SEEDS), demos)
        return jax.tree.map(lambda x: jnp.median(x, axis=0), results)

    return medians


def test_irl_finds_the_experts_action_whatever_it_is(key, counted):
    config = irl.Config(
        learner=LEARNER,
        reward=ensemble.Config(member=REWARD, size=1),
        updates_per_iteration=5,
        history="current",
    )
    train = counted(trainer(config, BANDIT, 60, obs=0.0))
    compiled = jax.jit(train)
    for action in (0, 2):
        frequencies, _ = compiled(key, bandit_demonstrations(action))
        assert frequencies[action] > 0.9
    assert train.count == 1  # demonstrations are data


def test_irl_plus_plus_walks_where_the_expert_walks(key):
    config = irl.Config(
        learner=LEARNER,
        reward=ensemble.Config(member=dataclasses.replace(REWARD, inputs="next_s"), size=2),
        updates_per_iteration=5,
        history="all",
        rows_per_iteration=32,
        capacity=1920,
        reset_probability=0.1,
        reset_iterations=10,
    )
    compiled = jax.jit(trainer(config, CHAIN, 60, obs=0.0))
    for direction in (0, 1):
        frequencies, gap = compiled(key, chain_demonstrations(direction))
        assert frequencies[direction] > 0.9
        # At first the reward can tell them apart, and hardly in the end.
        assert gap[:10].max() > 0.1 and gap[-1] < gap[:10].max() / 2


# Policy resets.


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # 0.5 · max(1 - i/4, 0.01)
        ("linear", {0: 0.5, 1: 0.375, 2: 0.25, 3: 0.125, 4: 0.005, 9: 0.005}),
        # 0.5 · max(1/(i + 1), 0.01)
        ("harmonic", {0: 0.5, 1: 0.25, 3: 0.125, 49: 0.01, 99: 0.005, 999: 0.005}),
    ],
)
def test_reset_probability_by_hand(schedule, expected):
    config = irl.Config(reset_probability=0.5, reset_schedule=schedule, reset_iterations=4)
    for iteration, probability in expected.items():
        found = irl.reset_probability(config, jnp.int32(iteration))
        np.testing.assert_allclose(found, probability, rtol=1e-5)


TINY = dataclasses.replace(LEARNER, num_envs=2, num_steps=4, num_epochs=1, num_minibatches=1)


@pytest.fixture(scope="module")
def played():
    """A learner, and the states of a population of three after one iteration."""
    learner = ppo.make(TINY, CHAIN, real())
    states = jax.jit(jax.vmap(learner.init))(jax.random.split(jax.random.key(0), 3))
    return learner, jax.jit(jax.vmap(learner.step, (0, None)))(states, ())[0]


def same(x, y):
    return all(
        bool((a == b).all()) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    )


def test_a_reset_replaces_the_policy_alone(played):
    learner, state = played
    config = irl.Config(reset_probability=1.0, population=3)
    reset = jax.jit(lambda state, i, key: irl.maybe_reset(config, learner, state, i, key))
    fresh = reset(state, jnp.int32(0), jax.random.key(1))  # 1 - 0/300: for certain
    actor, critic = (
        [tree["params"][name] for tree in (fresh.network, state.network)]
        for name in ("actor_network", "critic_network")
    )
    assert not same(*actor) and not same(*critic)
    assert all((x == 0).all() for x in jax.tree.leaves(fresh.optimiser))
    assert (fresh.iteration == 0).all()  # its schedules begin again
    assert (state.obs_moments.count == 8).all()  # there was something to keep
    rest = dataclasses.replace(
        fresh, network=state.network, optimiser=state.optimiser, iteration=state.iteration
    )
    assert same(rest, state)

    # At a hundredth of the start, nearly never.
    kept = [reset(state, jnp.int32(300), jax.random.key(seed)) for seed in range(3)]
    assert any(same(x, state) for x in kept)


def test_the_others_start_afresh_in_turn():
    config = irl.Config(population=3, rejuvenation=6)
    fresh = [irl.is_fresh(config, jnp.int32(i), jax.random.key(i)) for i in range(13)]
    found = {member: [i for i, who in enumerate(fresh) if who[member]] for member in range(3)}
    # Six iterations each, three apart; nobody before there is something.
    assert found == {0: [], 1: [6, 12], 2: [3, 9]}


def test_rejuvenation_leaves_the_first_alone(played):
    learner, states = played
    config = irl.Config(population=3, rejuvenation=6)
    reset = jax.jit(lambda i: irl.maybe_reset(config, learner, states, i, jax.random.key(1)))
    after = reset(jnp.int32(6))
    for member, changes in ((0, False), (1, True), (2, False)):
        one, other = (jax.tree.map(lambda x, i=member: x[i], tree) for tree in (states, after))
        assert same(one, other) is not changes
    assert same(reset(jnp.int32(5)), states)


def test_a_population_fills_the_history_together():
    config = irl.Config(learner=TINY, reward=ensemble.Config(member=REWARD, size=1), population=2)
    algorithm = irl.make(dataclasses.replace(config, history="current"), CHAIN)
    demos = chain_demonstrations(1)
    state = jax.jit(algorithm.init)(jax.random.key(0), demos)
    assert state.history.rows.obs.shape == (16, 1) and algorithm.steps_per_iteration == 16
    state, metrics = jax.jit(algorithm.step)(state, demos)
    assert state.history.count == 16
    assert all(x.shape == () for x in metrics.values())
    # The policy is the first of the two.
    kernel = algorithm.policy(state).params["network"]["params"]["actor_network"]["output"]
    expected = state.learner.network["params"]["actor_network"]["output"]
    np.testing.assert_array_equal(kernel["kernel"], expected["kernel"][0])


def test_without_resets_nothing_happens(played):
    learner, state = played
    assert irl.maybe_reset(irl.Config(), learner, state, jnp.int32(0), jax.random.key(0)) is state


# What the reward is fitted against.


def first_history(**changes):
    config = irl.Config(learner=TINY, reward=ensemble.Config(member=REWARD, size=2), **changes)
    algorithm = irl.make(config, CHAIN)
    demos = chain_demonstrations(1)
    return jax.eval_shape(algorithm.init, jax.random.key(0), demos).history


def test_the_current_history_is_one_rollout():
    assert first_history(history="current").rows.obs.shape == (8, 1)


def test_the_history_of_all_has_its_own_capacity():
    found = first_history(history="all", rows_per_iteration=4, capacity=20).rows
    assert found.obs.shape == (20, 1) and found.action.shape == (20,)
    assert found.log_prob is None


def test_rows_must_divide_the_capacity():
    with pytest.raises(UserError, match="capacity of 21 is no multiple of the 4 rows"):
        first_history(history="all", rows_per_iteration=4, capacity=21)
    # More rows than a rollout has are all of them: 8.
    with pytest.raises(UserError, match="capacity of 20 is no multiple of the 8 rows"):
        first_history(history="all", rows_per_iteration=512, capacity=20)
