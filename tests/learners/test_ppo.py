"""PPO on worlds whose values and best actions are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import schedules
from evil.errors import UserError
from evil.learners import estimates, ppo, proximal
from evil.networks import actor_critic
from evil.pytrees import take
from evil.rewards import fixed
from evil.seams import Transition
from tests.learners.probes import SPECS, STATES, WORLDS, environment, train

DISCOUNT = 0.8
ITERATIONS = 60
CONFIG = ppo.Config(
    num_envs=16,
    num_steps=8,
    num_epochs=4,
    num_minibatches=4,
    network=actor_critic.Config(hidden=(16,), initial_log_std=-1.0, normalise_observations=False),
    learning_rate=1e-2,
    final_learning_rate=1e-4,  # so that what is measured at the end is not the last steps' noise
    anneal_iterations=ITERATIONS,
    discount=DISCOUNT,
    normalise_rewards=False,
    num_starts=16,
)


def bind(kind, config=CONFIG):
    return ppo.make(config, environment(kind), fixed.real())


@pytest.fixture(scope="module", params=SPECS)
def trained(request):
    """Values [3] and greedy actions [3] of PPO in each of the worlds, trained side by side."""
    learner = bind(request.param)
    network = actor_critic.make(CONFIG.network, SPECS[request.param])

    def values(state, _):
        return network.apply(state.network, STATES, method="critic")

    return train(learner, values, ITERATIONS)


def test_one_step_is_worth_its_reward(trained):
    values, _, _ = trained["value"]
    np.testing.assert_allclose(values[0], 1.0, atol=0.01)


def test_values_depend_on_the_observation(trained):
    values, _, _ = trained["value_of_observation"]
    np.testing.assert_allclose(values[:2], [1.0, -1.0], atol=0.01)


def test_a_delayed_reward_is_discounted(trained):
    values, _, _ = trained["delayed_value"]
    np.testing.assert_allclose(values[:2], [DISCOUNT, 1.0], atol=0.01)


def test_the_better_action_is_found(trained):
    values, actions, _ = trained["action"]
    np.testing.assert_allclose(actions[0], 1.0, atol=0.15)
    np.testing.assert_allclose(values[0], 1.0, atol=0.05)  # and nearly always taken


def test_the_better_action_depends_on_the_observation(trained):
    values, actions, _ = trained["action_by_observation"]
    np.testing.assert_allclose(actions[:2], [0.0, 1.0], atol=0.15)
    np.testing.assert_allclose(values[:2], [1.0, 1.0], atol=0.05)


def test_a_time_limit_does_not_end_the_values(trained):
    # Nothing, then one per step; truncated after five, in state 1, while the next episode starts in
    # state 0: 1 + γ + γ² + ... = 1 / (1 - γ) all the same.
    values, _, metrics = trained["time_limit"]
    for_ever = 1 / (1 - DISCOUNT)
    np.testing.assert_allclose(values[:2], [DISCOUNT * for_ever, for_ever], rtol=0.01)
    assert metrics["agent/length"][-1] == 5 and metrics["agent/return"][-1] == 4


def test_the_end_of_a_task_does(trained):
    values, _, metrics = trained["end_of_task"]
    expected = [1 + DISCOUNT + DISCOUNT**2, 1 + DISCOUNT, 1.0]
    np.testing.assert_allclose(values, expected, atol=0.02)
    assert metrics["agent/length"][-1] == 3 and metrics["agent/return"][-1] == 3


# A program of one gradient step, for what can be seen at once.

SMALL = dataclasses.replace(
    CONFIG,
    network=dataclasses.replace(CONFIG.network, normalise_observations=True),
    num_envs=4,
    num_steps=4,
    num_epochs=1,
    num_minibatches=1,
    anneal_iterations=2,
    final_learning_rate=0.0,
)


@pytest.fixture(scope="module")
def small():
    """The learner, its state after a step, and a jitted step over three lanes of `Hyper`."""
    learner = bind("discrete", SMALL)
    bodies = []

    def one(hyper, state):
        bodies.append(None)
        state = dataclasses.replace(state, hyper=hyper)
        return learner.step(state, ())

    step = jax.jit(jax.vmap(one, (0, None)))
    state = jax.jit(learner.init)(jax.random.key(0))
    state = take(step(lanes(state, learning_rate=[0.1] * 3), state)[0], jnp.int32(0))
    return learner, dataclasses.replace(state, iteration=jnp.int32(0)), step, bodies


def lanes(state, **values):
    """`Hyper` of as many lanes as each of `values` has entries."""
    count = len(next(iter(values.values())))
    repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (count,)), state.hyper)
    return dataclasses.replace(repeated, **{k: jnp.array(v) for k, v in values.items()})


def distances(networks, network):
    """How far each lane's parameters are from `network`."""
    squares = jax.tree.map(
        lambda x, y: np.square(np.asarray(x) - np.asarray(y)[None]).sum(tuple(range(1, x.ndim))),
        networks,
        network,
    )
    return np.sqrt(sum(jax.tree.leaves(squares)))


def test_hyper_parameters_are_data(small):
    _, state, step, bodies = small
    found, _, metrics = step(lanes(state, learning_rate=[0.0, 0.1, 0.2]), state)
    np.testing.assert_allclose(metrics["learner/learning_rate"], [0.0, 0.1, 0.2], rtol=1e-6)
    moved = distances(found.network, state.network)
    # One step of Adam is linear in its size.
    assert moved[0] == 0 and moved[1] > 0.1
    np.testing.assert_allclose(moved[2], 2 * moved[1], rtol=1e-4)
    step(lanes(state, learning_rate=[0.3, 0.4, 0.5], clip=[0.1, 0.2, 0.3]), state)
    assert len(bodies) == 1


def test_learning_rate_falls_linearly(small):
    _, state, step, _ = small
    found = []
    for iteration in range(4):
        now = dataclasses.replace(state, iteration=jnp.int32(iteration))
        hyper = lanes(state, learning_rate=[0.1] * 3, final_learning_rate=[0.02, 0.1, 0.0])
        found.append(step(hyper, now)[2]["learner/learning_rate"])
    expected = [[0.1, 0.1, 0.1], [0.06, 0.1, 0.05], [0.02, 0.1, 0.0], [0.02, 0.1, 0.0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_restarts_come_late(small):
    # At half time the rate is a sixteenth of the final one: 16 makes it certain then, 1 at the end.
    _, state, step, _ = small
    state = dataclasses.replace(state, physics=WORLDS["time_limit"])  # where nothing else ends
    hyper = lanes(state, final_restart_rate=[0.0, 1.0, 16.0])
    found = []
    for iteration in (0, 1, 2):
        now = dataclasses.replace(state, iteration=jnp.int32(iteration))
        found.append(np.asarray(step(hyper, now)[1].truncated))  # [lanes, steps, environments]
    found = np.stack(found)
    assert not found[..., ::2].any()  # every other environment keeps to whole episodes
    assert not found[0].any() and not found[:, 0].any()
    assert found[1, 2, :, 1::2].all() and found[2, 1:, :, 1::2].all()
    assert not found[1, 1].all()


def test_coefficients_are_constant_without_annealing():
    for iteration in (0, 1000):
        found = schedules.annealed(jnp.float32(0.3), jnp.float32(0.1), 0, jnp.int32(iteration))
        np.testing.assert_array_equal(found, jnp.float32(0.3))


def test_a_prescribed_deviation_falls_linearly_and_is_not_learned():
    network = dataclasses.replace(SMALL.network, initial_log_std=0.5)
    config = dataclasses.replace(SMALL, network=network, final_log_std=-0.5, anneal_iterations=4)
    learner = bind("continuous", config)
    state, step = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.step)
    found = []
    for _ in range(6):
        found.append(float(state.network["params"]["log_std"][0]))
        state, _, metrics = step(state, ())
        # Entropy of a gaussian of one dimension: while it is used, the deviation stands still.
        expected = found[-1] + 0.5 * np.log(2 * np.pi * np.e)
        np.testing.assert_allclose(metrics["learner/entropy"], expected, rtol=1e-5)
    np.testing.assert_allclose(found, [0.5, 0.25, 0.0, -0.25, -0.5, -0.5], atol=1e-6)
    fresh = jax.jit(learner.reset_policy)(jax.random.key(1), state)
    np.testing.assert_array_equal(fresh.network["params"]["log_std"], [0.5])


def test_a_policy_without_deviation_is_not_prescribed_one():
    with pytest.raises(UserError, match="final_log_std"):
        bind("discrete", dataclasses.replace(SMALL, final_log_std=-1.0, anneal_iterations=4))


def test_the_first_epoch_starts_at_the_old_policy(small):
    _, state, step, _ = small
    metrics = step(lanes(state, learning_rate=[0.1] * 3), state)[2]
    np.testing.assert_allclose(metrics["learner/approximate_kl"], 0.0, atol=1e-6)
    # Ratios are 1 and standardised advantages have mean 0.
    np.testing.assert_allclose(metrics["learner/policy_loss"], 0.0, atol=1e-6)


def test_the_rollout_knows_its_log_probabilities(small):
    _, state, step, _ = small
    rollout = take(step(lanes(state, learning_rate=[0.1] * 3), state)[1], jnp.int32(0))
    mean, variance = (np.asarray(x) for x in (state.obs_moments.mean, state.obs_moments.variance))
    obs = (np.asarray(rollout.obs) - mean) / np.sqrt(variance + 1e-8)
    module = actor_critic.make(SMALL.network, SPECS["discrete"])
    logits = module.apply(state.network, jnp.clip(obs, -10, 10), method="actor")["logits"]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), rollout.action[..., None], -1)
    np.testing.assert_allclose(rollout.log_prob, chosen[..., 0], rtol=1e-4)


def test_a_reward_is_told_how_likely_the_applied_action_is():
    """Not the latent, of which a clipped action says nothing."""
    config = dataclasses.replace(
        SMALL, network=dataclasses.replace(SMALL.network, initial_log_std=1.0)
    )
    learner = bind("continuous", config)
    state = jax.jit(learner.init)(jax.random.key(0))
    rollout = jax.jit(learner.step)(state, ())[1]
    spec = SPECS["continuous"]
    assert np.isin(rollout.action, [*spec.action_low, *spec.action_high]).any()
    policy = learner.policy(state, deterministic=False)
    expected = policy.log_prob(policy.params, rollout)
    np.testing.assert_allclose(rollout.log_prob, expected, rtol=1e-4, atol=1e-5)


def test_observations_are_counted_once(small):
    _, state, step, _ = small
    after, rollout, _ = take(step(lanes(state, learning_rate=[0.1] * 3), state), jnp.int32(0))
    assert (state.obs_moments.count, after.obs_moments.count) == (16, 32)
    expected = (state.obs_moments.mean + rollout.obs.mean((0, 1))) / 2
    np.testing.assert_allclose(after.obs_moments.mean, expected, atol=1e-6)


def test_the_objective_adds_up(small):
    _, state, _, _ = small
    module = actor_critic.make(SMALL.network, SPECS["discrete"])
    batch = estimates.Batch(
        obs=STATES,
        latent=jnp.array([0, 1, 0]),
        log_prob=jnp.log(jnp.array([0.5, 0.4, 0.6])),
        value=jnp.zeros(3),
        advantage=jnp.array([1.0, -1.0, 2.0]),
        target=jnp.array([1.0, 2.0, 3.0]),
    )
    hyper = dataclasses.replace(
        state.hyper, value_coefficient=jnp.float32(0.3), entropy_coefficient=jnp.float32(0.7)
    )
    total, parts = proximal.loss(state.network, module, batch, hyper, SMALL, jax.random.key(0))
    expected = (
        parts["learner/policy_loss"]
        + 0.3 * parts["learner/value_loss"]
        - 0.7 * parts["learner/entropy"]
    )
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert 0 < parts["learner/entropy"] <= np.log(2) + 1e-6


def test_a_policy_clones_beside_its_game():
    def shown(params, key, num):
        rows = jax.random.randint(key, (num,), 0, 2)
        blank = jnp.zeros(num)
        return Transition(
            obs=STATES[rows],
            action=1.5 - 2.0 * rows[:, None],
            next_obs=STATES[rows],
            reward=blank,
            terminated=blank > 0,
            truncated=blank > 0,
        )

    @jax.jit
    def both(weight):
        config = dataclasses.replace(CONFIG, cloning_batch=4)
        learner = ppo.make(
            config, environment("continuous"), dataclasses.replace(fixed.survival(), expert=shown)
        )
        state = learner.init(jax.random.key(0))
        hyper = dataclasses.replace(state.hyper, cloning_weight=weight)

        def advance(state, _):
            state, _, metrics = learner.step(state, ())
            return state, metrics["learner/cloning_loss"]

        state = dataclasses.replace(state, hyper=hyper)
        state, losses = jax.lax.scan(advance, state, length=20)
        action, _ = learner.policy(state, deterministic=True).act(
            learner.policy(state).params, STATES[:2], jax.random.key(1), ()
        )
        return losses, action[:, 0]

    losses, action = both(1.0)
    assert losses[-1] < losses[0] - 0.5
    np.testing.assert_allclose(action, [1.5, -0.5], atol=0.2)
    _, indifferent = both(0.0)
    assert np.abs(indifferent - action).max() > 0.5


def test_a_fresh_policy_in_the_same_worlds(small):
    learner, played, _, _ = small
    fresh = jax.jit(learner.reset_policy)(jax.random.key(1), played)
    assert distances(jax.tree.map(lambda x: x[None], fresh.network), played.network)[0] > 0.1
    assert all((x == 0).all() for x in jax.tree.leaves(fresh.optimiser))
    assert any((x != 0).any() for x in jax.tree.leaves(played.optimiser))
    rest = dataclasses.replace(fresh, network=played.network, optimiser=played.optimiser)
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.leaves(s)[:-1] for s in (rest, played)))
    assert (jax.random.key_data(rest.key) == jax.random.key_data(played.key)).all()


def test_what_is_cloned_must_be_there():
    with pytest.raises(UserError, match="cloning_batch is 4, but this reward brings no"):
        bind("discrete", dataclasses.replace(CONFIG, cloning_batch=4))
    assert not dataclasses.replace(CONFIG, cloning_batch=4).alone.reads_expert


def test_minibatches_must_divide_the_rollout():
    with pytest.raises(UserError, match=r"3 minibatches .* 16 environments x 8 steps = 128"):
        bind("discrete", dataclasses.replace(CONFIG, num_minibatches=3))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_epochs": 0}, "num_epochs must be at least 1, found 0"),
        ({"discount": 1.5}, "discount must be from 0 to 1, found 1.5"),
        ({"gae_lambda": float("nan")}, "gae_lambda must be from 0 to 1, found nan"),
        ({"final_restart_rate": 2.0}, "final_restart_rate must be from 0 to 1"),
        ({"final_restart_rate": 0.1, "anneal_iterations": 0}, "expected 1 or more, found 0"),
        ({"final_log_std": -2.0, "anneal_iterations": 0}, "reached after anneal_iterations"),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0"),
        ({"clip": float("nan")}, "clip must be at least 0, found nan"),
    ],
)
def test_bad_options_are_the_users_error(changes, said):
    with pytest.raises(UserError, match=said):
        bind("discrete", dataclasses.replace(CONFIG, **changes))
