"""Behavioural cloning on hand-made demonstrations; no world is ever stepped."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations import demonstrations
from evil.errors import UserError
from evil.imitation import bc, cloning
from evil.networks import actor_critic
from evil.seams import Environment, Spec

pytestmark = pytest.mark.allow_rank_promotion

hold_out = jax.jit(bc.hold_out, static_argnums=2)
METRICS = {"clone/loss", "clone/validation_loss", "clone/best_validation_loss", "clone/stopped"}
VECTORS = Spec(
    name="vectors",
    obs_shape=(3,),
    time_limit=20,
    action_size=2,
    action_low=(-1.0, -2.0),
    action_high=(3.0, 2.0),
)
CHOICES = Spec(name="choices", obs_shape=(3,), time_limit=20, num_actions=4)
WEIGHTS = np.array([[0.3, -0.2], [0.1, 0.4], [-0.25, 0.1]])
OFFSET = np.array([1.2, -0.3])
NOISE = 0.1  # standard deviation of the expert's actions; half of it in units of the bounds
LINEAR = actor_critic.Config(hidden=())
BASE = bc.Config(network=LINEAR, learning_rate=0.03, weight_decay=0.0, patience=1000)


def environment(spec):
    def never(*args):
        raise AssertionError("cloning needs no world")

    return Environment(spec=spec, params=(), reset=never, step=never)


def observations(seed, *shape):
    return np.random.default_rng(seed).normal(size=(*shape, 3)) * [1.0, 3.0, 0.5] + [0.0, 5.0, 1.0]


def mode(obs):
    return (obs - [0.0, 5.0, 1.0]) / [1.0, 3.0, 0.5] @ WEIGHTS + OFFSET


def vectors(episodes=10, steps=20, noise=NOISE, seed=0):
    obs = observations(seed, episodes, steps + 1)
    errors = np.random.default_rng(seed + 1).normal(size=(episodes, steps, 2))
    actions = mode(obs[:, :-1]) + noise * errors
    actions = np.clip(actions, VECTORS.action_low, VECTORS.action_high)
    return demonstrations.from_episodes(
        [{"obs": o, "action": a} for o, a in zip(obs, actions, strict=True)]
    )


def choices(episodes=10, steps=20):
    obs = observations(2, episodes, steps + 1)
    return demonstrations.from_episodes(
        [{"obs": o, "action": choice(o[:-1]).astype(np.int32)} for o in obs]
    )


def choice(obs):
    return 2 * (obs[:, 0] > 0.0) + (obs[:, 1] > 5.0)


@functools.cache
def make(spec=VECTORS, **changes):
    """The algorithm of a config, compiled once for all tests."""
    algorithm = bc.make(dataclasses.replace(BASE, **changes), environment(spec))
    return dataclasses.replace(
        algorithm, init=jax.jit(algorithm.init), step=jax.jit(algorithm.step)
    )


def run(algorithm, demos, iterations, key):
    """The state after some iterations, and the metrics of each."""
    state, history = algorithm.init(key, demos), []
    for _ in range(iterations):
        state, metrics = algorithm.step(state, demos)
        history.append({name: np.asarray(value) for name, value in metrics.items()})
    return state, history


def act(policy, obs, seed=0):
    obs = jnp.asarray(obs, jnp.float32)
    return jax.jit(policy.act)(policy.params, obs, jax.random.key(seed), ())[0]


def leaves(tree):
    """Host copies of a tree's leaves, its keys as the numbers they are made of."""
    is_key = [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in jax.tree.leaves(tree)]
    return [
        np.asarray(jax.random.key_data(x) if key else x)
        for x, key in zip(jax.tree.leaves(tree), is_key, strict=True)
    ]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


# It clones.


@pytest.mark.parametrize("loss", ["nll", "mse"])
def test_linear_gaussian_expert_is_recovered(loss, key):
    algorithm = make(loss=loss)
    state, history = run(algorithm, vectors(), 5, key)
    obs = observations(9, 100)
    played = act(algorithm.policy(state, deterministic=True), obs)
    np.testing.assert_allclose(played, mode(obs), atol=0.08)
    assert np.ptp(mode(obs), axis=0).min() > 1.0  # which is no small range
    if loss == "mse":
        assert history[-1]["clone/best_validation_loss"] == pytest.approx(NOISE**2, rel=0.4)
    else:
        std = np.exp(state.best_network["params"]["log_std"])
        np.testing.assert_allclose(std, NOISE / 2, rtol=0.2)


def test_nll_samples_and_mse_plays_its_mode(key):
    obs = np.tile([0.0, 5.0, 1.0], (500, 1))
    for loss, spread in (("nll", NOISE), ("mse", 0.0)):
        algorithm = make(loss=loss)
        state, _ = run(algorithm, vectors(), 4, key)
        played = act(algorithm.policy(state), obs)
        np.testing.assert_allclose(played.std(axis=0), spread, rtol=0.25, atol=1e-6)


def test_discrete_expert_is_recovered(key):
    algorithm = make(CHOICES)
    state, history = run(algorithm, choices(), 5, key)
    obs = observations(9, 300)
    played = act(algorithm.policy(state, deterministic=True), obs)
    assert played.dtype == jnp.int32
    assert np.mean(played == choice(obs)) > 0.93
    assert set(choice(obs)) == {0, 1, 2, 3}
    assert history[-1]["clone/best_validation_loss"] < 0.3 < np.log(4)


def constant(action):
    """Demonstrations of one action, wherever."""
    demos = vectors()
    return dataclasses.replace(demos, action=jnp.broadcast_to(jnp.array(action), (10, 20, 2)))


@pytest.mark.parametrize("distribution", ["gaussian", "tanh_gaussian"])
def test_an_expert_at_the_bounds_is_cloned(distribution, key):
    network = dataclasses.replace(LINEAR, distribution=distribution)
    algorithm = make(network=network)
    state, history = run(algorithm, constant([3.0, -2.0]), 5, key)
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))
    assert all(np.isfinite(value) for metrics in history for value in metrics.values())
    played = act(algorithm.policy(state, deterministic=True), observations(9, 20))
    np.testing.assert_allclose(played, np.tile([3.0, -2.0], (20, 1)), atol=0.05)


def test_a_likelihood_without_maximum_stays_finite(key):
    # The first network's mode is exactly right, so the deviation only ever falls.
    demos = constant([1.0, 0.0])
    demos = dataclasses.replace(demos, obs=jnp.ones_like(demos.obs))
    state, history = run(make(learning_rate=1.0), demos, 2, key)
    assert (state.network["params"]["log_std"] == cloning.MIN_LOG_STD).all()
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))
    assert all(np.isfinite(value) for metrics in history for value in metrics.values())


def test_squared_error_is_of_the_applied_action_yet_its_gradient_passes_the_clip(key):
    module = actor_critic.make(LINEAR, VECTORS)
    network = jax.jit(module.init)(key, jnp.zeros((1, 3)))
    steps = demonstrations.transitions(vectors(), jnp.arange(4))
    steps = dataclasses.replace(steps, action=jnp.array([[1.0, 2.0]] * 4))
    config = dataclasses.replace(BASE, loss="mse")

    def loss(bias):
        actor = network["params"]["actor_network"]
        actor = {"output": {"kernel": 0.0 * actor["output"]["kernel"], "bias": bias}}
        params = {"params": {**network["params"], "actor_network": actor}}
        moments = bc.obs_moments(vectors())
        return cloning.losses(
            params, module, VECTORS, config, moments, steps.obs, steps.action
        ).mean()

    # Far above both bounds: applied are 3 and 2. The first is wrong by 2, the second is right.
    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.array([5.0, 5.0]))
    assert value == pytest.approx((2.0**2 + 0.0) / 2)
    np.testing.assert_allclose(slope, [2.0 * 2.0 * 2.0 / 2, 0.0], atol=1e-5)


# What it may see.


def test_held_out_are_whole_episodes_if_there_are_enough(key):
    for episodes, held in ((20, 2), (10, 1), (5, 1)):
        mask = np.asarray(hold_out(key, vectors(episodes), 0.1)).reshape(episodes, 20)
        assert sorted(set(mask.mean(axis=1))) == [0.0, 1.0]
        assert mask.all(axis=1).sum() == held
    chosen = [int(hold_out(jax.random.key(s), vectors(10), 0.1).argmax()) for s in range(8)]
    assert len(set(chosen)) > 2


@pytest.mark.parametrize("episodes", [1, 4])
def test_held_out_are_steps_of_few_episodes(episodes, key):
    mask = np.asarray(hold_out(key, vectors(episodes), 0.1))
    assert mask.sum() == 2 * episodes
    assert not mask.reshape(episodes, 20).all(axis=1).any()


def test_unused_rows_neither_train_nor_validate(key):
    # Ten episodes of which one is in use, in the first 12 of 15 rows; the rest is padding.
    rows = jnp.concatenate([40 + jnp.arange(12), jnp.zeros(3, int)]).astype(jnp.int32)
    demos = dataclasses.replace(vectors(), rows=rows, count=jnp.asarray(12, jnp.int32))
    for held in (np.asarray(hold_out(jax.random.key(seed), demos, 0.25)) for seed in range(6)):
        assert held.sum() == 3 and not held[12:].any()
    kept = jax.jit(bc.training)(demos, jnp.asarray(held))
    assert int(kept.count) == 9
    assert set(np.asarray(kept.rows[:9])) == set(np.asarray(rows[:12])[~held[:12]])
    # One row, or no wish to hold out any: the training rows are all there is to judge by.
    assert not hold_out(key, dataclasses.replace(demos, count=jnp.asarray(1)), 0.25).any()
    assert not hold_out(key, demos, 0.0).any()


def poisoned(demos, mask):
    """The demonstrations with absurd actions in the rows of `mask`."""
    wrong = jnp.where(mask[:, None], 50.0, demos.action.reshape(-1, 2))
    return dataclasses.replace(demos, action=wrong.reshape(demos.action.shape))


@pytest.mark.parametrize("episodes", [3, 10])
def test_validation_rows_never_enter_the_gradient(episodes, key):
    algorithm = make()
    demos = vectors(episodes)
    clean, clean_history = run(algorithm, demos, 2, key)
    assert 0 < clean.held_out.sum() < 20 * episodes
    state, history = run(algorithm, poisoned(demos, clean.held_out), 2, key)
    assert same((state.network, state.optimiser), (clean.network, clean.optimiser))
    assert history[-1]["clone/loss"] == clean_history[-1]["clone/loss"]
    assert history[-1]["clone/validation_loss"] > 100 + clean_history[-1]["clone/validation_loss"]
    # The same poison in the other rows changes what is learned, but not who judges it.
    first = [algorithm.init(key, data) for data in (demos, poisoned(demos, ~clean.held_out))]
    judged = [float(state.metrics["clone/validation_loss"]) for state in first]
    assert judged[0] == judged[1]
    state, _ = run(algorithm, poisoned(demos, ~clean.held_out), 2, key)
    assert not same(state.network, clean.network)


def test_observations_are_standardised_by_those_of_the_demonstrations(key):
    demos = vectors()
    demos = dataclasses.replace(demos, obs=demos.obs.at[:, :, 2].set(0.7))
    moments = bc.obs_moments(demos)
    used = np.asarray(demos.obs)[:, :-1].reshape(-1, 3)
    np.testing.assert_allclose(moments.mean, used.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance[:2], used.var(axis=0)[:2], rtol=1e-4)
    assert moments.variance[2] == 1.0  # it never varies
    assert moments.count == 200
    algorithm = make()
    policy = algorithm.policy(algorithm.init(key, demos))
    assert set(policy.params) == {"network", "obs_moments"}
    assert same(policy.params["obs_moments"], moments)


# When it stops.


def overfitting():
    """Twelve steps of an expert that is all noise, and a network large enough to learn them."""
    network = actor_critic.Config(hidden=(32,))
    algorithm = make(
        network=network,
        updates_per_iteration=20,
        batch_size=32,
        validation_fraction=0.3,
        patience=6,
    )
    return algorithm, vectors(1, 12, noise=1.0)


def test_the_best_validation_is_what_plays_and_then_all_is_frozen(key):
    algorithm, demos = overfitting()
    state, states, history = algorithm.init(key, demos), [], []
    for _ in range(20):
        state, metrics = algorithm.step(state, demos)
        states.append(state)
        history.append({name: float(value) for name, value in metrics.items()})
    losses = [metrics["clone/validation_loss"] for metrics in history]
    best = int(np.argmin(losses))
    last = best + 6  # the validation at which patience ended

    assert losses[last] > losses[best] and history[last]["clone/loss"] < history[best]["clone/loss"]
    assert same(state.best_network, states[best].network)
    assert same(algorithm.policy(state).params["network"], states[best].network)
    assert not same(state.network, state.best_network)
    assert history[-1]["clone/best_validation_loss"] == losses[best]

    stopped = [metrics["clone/stopped"] for metrics in history]
    assert stopped == [0.0] * last + [1.0] * (20 - last)
    assert last < 15 and not same(states[last - 1], states[last])
    assert all(same(later, states[last]) for later in states[last:])
    assert all(metrics == history[last] for metrics in history[last:])


def test_without_held_out_rows_the_training_rows_judge(key):
    algorithm = make(validation_fraction=0.0, loss="mse", batch_size=2000)
    state, history = run(algorithm, vectors(), 4, key)
    assert not state.held_out.any()
    loss, judged = history[-1]["clone/loss"], history[-1]["clone/validation_loss"]
    assert loss == pytest.approx(float(judged), rel=0.1)


def test_weight_decay_shrinks_the_actors_matrices_and_nothing_else(key):
    network = jax.jit(actor_critic.make(LINEAR, VECTORS).init)(key, jnp.ones((1, 3)))
    network = jax.tree.map(lambda x: x + 1.0, network)
    optimiser = bc.optimiser(bc.Hyper(learning_rate=jnp.array(0.1), weight_decay=jnp.array(2.0)))
    still = jax.tree.map(jnp.zeros_like, network)
    updates = jax.jit(optimiser.update)(still, optimiser.init(network), network)[0]["params"]
    kernel = updates["actor_network"]["output"].pop("kernel")
    expected = network["params"]["actor_network"]["output"]["kernel"]
    np.testing.assert_allclose(kernel, -0.2 * expected, rtol=1e-5)
    assert len(jax.tree.leaves(updates)) == 4  # two biases, the critic's matrix, log_std
    assert not any(x.any() for x in jax.tree.leaves(updates))


# The contract.


@pytest.mark.parametrize("loss", ["nll", "mse"])
def test_step_keeps_the_shape_of_its_state(loss, key):
    algorithm = make(loss=loss)
    demos = vectors()
    state = jax.eval_shape(algorithm.init, key, demos)
    after, metrics = jax.eval_shape(algorithm.step, state, demos)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    kinds = [
        [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(tree)] for tree in (after, state)
    ]
    assert kinds[0] == kinds[1]
    assert set(metrics) == METRICS
    assert all(x.shape == () and x.dtype == jnp.float32 for x in metrics.values())
    assert algorithm.reward(state) == () and algorithm.steps_per_iteration == 0


def test_seeds_differ_repeat_and_run_side_by_side():
    algorithm = make()
    demos, keys = vectors(), jax.random.split(jax.random.key(3), 3)
    alone = [run(algorithm, demos, 2, key) for key in keys]
    assert same(alone[0][0], run(algorithm, demos, 2, keys[0])[0])
    assert not same(alone[0][0].network, alone[1][0].network)

    states = jax.jit(jax.vmap(algorithm.init, (0, None)))(keys, demos)
    step = jax.jit(jax.vmap(algorithm.step, (0, None)))
    for _ in range(2):
        states, metrics = step(states, demos)
    for lane, (state, history) in enumerate(alone):
        for together, single in zip(leaves(states), leaves(state), strict=True):
            np.testing.assert_allclose(together[lane], single, rtol=1e-3, atol=1e-5)
        for name, value in history[-1].items():
            np.testing.assert_allclose(metrics[name][lane], value, rtol=1e-3)


@pytest.mark.parametrize(
    ("spec", "changes", "word"),
    [
        (CHOICES, {"loss": "mse"}, "discrete"),
        (VECTORS, {"loss": "mes"}, "did you mean mse"),
        (VECTORS, {"validation_fraction": 1.0}, "validation_fraction"),
        (VECTORS, {"patience": 0}, "patience"),
    ],
)
def test_impossible_configurations_are_user_errors(spec, changes, word):
    with pytest.raises(UserError, match=word):
        bc.make(dataclasses.replace(BASE, **changes), environment(spec))
