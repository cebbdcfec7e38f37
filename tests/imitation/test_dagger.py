"""DAgger on a road with a ditch beside it: who never falls in never learns to climb out."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.imitation import dagger, labelling, mixture
from evil.networks import actor_critic
from evil.seams import Environment, Policy, Spec, Step

ROAD, DITCH = 0, 1
STAY, CLIMB = 0, 1  # on the road CLIMB falls into the ditch, in the ditch STAY stays there
LIMIT = 12
ONE = jnp.zeros((), bool)
SPEC = Spec(name="road", obs_shape=(2,), time_limit=LIMIT, num_actions=2)


def observe(place):
    return jax.nn.one_hot(place, 2)


def reset(key, params):
    place = jnp.zeros((), jnp.int32)
    return place, observe(place)


def step(key, place, action, params):
    place = jnp.where(action == place, ROAD, DITCH).astype(jnp.int32)
    return place, Step(
        next_obs=observe(place),
        reward=(place == ROAD).astype(jnp.float32),
        terminated=params["deadly"] & (place == DITCH),
        truncated=ONE,
    )


ENV = Environment(spec=SPEC, params={"deadly": ONE}, reset=reset, step=step)
DEADLY = {"deadly": ~ONE}
WISE = jnp.array([STAY, CLIMB])
FOOLISH = jnp.array([CLIMB, STAY])


def act(table, obs, key, carry):
    return table[obs.argmax(-1)], carry


def outputs(table, obs):
    return {"logits": 4.0 * jax.nn.one_hot(table[obs.argmax(-1)], 2)}


EXPERT = Policy(params=WISE, act=act)
BASE = dagger.Config(
    network=actor_critic.Config(hidden=(8,), normalise_observations=False),
    rounds=3,
    num_envs=2,
    num_judged=8,
    num_starts=2,
    updates_per_round=5,
    batch_size=16,
    learning_rate=3e-3,
)


def data(expert_acts=False, table=WISE, **kwargs):
    return dagger.Data(expert=table, expert_acts=jnp.asarray(expert_acts), **kwargs)


@functools.cache
def make(**changes):
    """The algorithm of a config, compiled once for all tests."""
    algorithm = dagger.make(dataclasses.replace(BASE, **changes), ENV, EXPERT, outputs)
    return dataclasses.replace(
        algorithm, init=jax.jit(algorithm.init), step=jax.jit(algorithm.step)
    )


def run(algorithm, given, rounds=3, seed=0):
    """The state after some rounds, and the metrics of each."""
    state, history = algorithm.init(jax.random.key(seed), given), []
    for _ in range(rounds):
        state, metrics = algorithm.step(state, given)
        history.append({name: float(value) for name, value in metrics.items()})
    return state, history


# Who acts.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"beta": "zero"}, [0, 0, 0, 0, 0]),
        ({"beta": "first"}, [1, 0, 0, 0, 0]),
        ({"beta": "geometric", "beta_decay": 0.3}, [1, 0.3, 0.09, 0.027, 0.0081]),
        ({"beta": "geometric", "beta_decay": 0.0}, [1, 0, 0, 0, 0]),
        ({"beta": "linear", "beta_rounds": 4}, [1, 0.75, 0.5, 0.25, 0]),
        ({"beta": "linear", "beta_rounds": 2}, [1, 0.5, 0, 0, 0]),
    ],
)
def test_schedules(changes, expected):
    config = dataclasses.replace(BASE, **changes)
    decay = jnp.float32(config.beta_decay)
    found = [dagger.beta(config, decay, jnp.int32(index)) for index in range(5)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@functools.partial(jax.jit, static_argnames=("whole_trajectories", "num_envs"))
def played(key, chance, table, physics, *, whole_trajectories=False, num_envs=40):
    learner = Policy(params=FOOLISH, act=act)
    expert = Policy(params=table, act=act)
    return mixture.play(
        ENV, expert, learner, key, chance, physics, num_envs=num_envs, num_alone=3,
        num_starts=2, whole_trajectories=whole_trajectories,
    )  # fmt: skip


def test_a_coin_at_every_step_or_at_every_start(key):
    by_step = played(key, 0.5, WISE, ENV.params).seen
    by_start = played(key, 0.5, WISE, ENV.params, whole_trajectories=True).seen
    agrees = [np.asarray(seen.action == seen.label, int) for seen in (by_step, by_start)]
    assert agrees[0].shape == (LIMIT, 40)
    assert 0.4 < agrees[0].mean() < 0.6
    assert (np.ptp(agrees[0], axis=0) == 1).all()  # none of 40 agrees 12 times in a row
    assert (np.ptp(agrees[1], axis=0) == 0).all()
    assert 0.25 < agrees[1].mean() < 0.75
    for seen in (by_step, by_start):
        np.testing.assert_array_equal(seen.label, WISE[seen.obs.argmax(-1)])


def test_a_start_in_the_midst_of_a_round_tosses_again(key):
    seen = played(key, 0.5, WISE, DEADLY, whole_trajectories=True).seen
    agrees = np.asarray(seen.action == seen.label, int)
    # The learner's episodes end at their first step; once the expert has begun, it stays.
    assert (np.diff(agrees, axis=0) >= 0).all() and agrees[-1].all()
    assert 0.3 < agrees[0].mean() < 0.7


def test_the_learner_is_judged_alone(key):
    found = played(key, 1.0, WISE, ENV.params)
    assert (found.seen.action == found.seen.label).all()
    np.testing.assert_array_equal(found.returns, [0.0] * 3)  # it falls at once and stays there
    np.testing.assert_array_equal(found.lengths, [LIMIT] * 3)
    np.testing.assert_array_equal(played(key, 1.0, WISE, DEADLY).lengths, [1.0] * 3)


def test_an_expert_with_memory_forgets_at_every_start(key):
    def counting(params, obs, key, count):
        return count % 2, count + 1

    expert = Policy(params=(), act=counting, memory=lambda batch: jnp.zeros(batch, jnp.int32))
    learner = Policy(params=WISE, act=act)
    play = functools.partial(
        mixture.play, ENV, expert, learner, key, num_envs=2, num_alone=1, num_starts=2,
        whole_trajectories=False,
    )  # fmt: skip
    seen = jax.jit(lambda physics: play(jnp.float32(0.0), physics).seen)(ENV.params)
    np.testing.assert_array_equal(seen.label[:, 0], [0, 1] * (LIMIT // 2))
    # Acting, it falls at its second step, and its count begins anew.
    seen = jax.jit(lambda physics: play(jnp.float32(1.0), physics).seen)(DEADLY)
    np.testing.assert_array_equal(seen.label[:, 1], [0, 1] * (LIMIT // 2))
    np.testing.assert_array_equal(seen.is_first[:, 1], [True] * 2 + [False] * (LIMIT - 2))


# What is aggregated.


def test_every_label_is_the_experts_and_none_is_forgotten():
    algorithm = make()
    state, history = run(algorithm, data())
    rows, per_round = state.aggregate.rows, 2 * LIMIT
    assert int(state.aggregate.count) == 3 * per_round == rows["label"].shape[0]
    np.testing.assert_array_equal(rows["obs"].sum(1), 1.0)
    np.testing.assert_array_equal(rows["label"], rows["obs"].argmax(1))  # WISE
    assert [metrics["clone/labels"] for metrics in history] == [0, per_round, 2 * per_round]
    first, _ = run(algorithm, data(), rounds=1)
    for whole, early in zip(rows.values(), first.aggregate.rows.values(), strict=True):
        np.testing.assert_array_equal(whole[:per_round], early[:per_round])
        assert not early[per_round:].any()
    full, _ = run(algorithm, data(), rounds=4)  # one more than there is room for
    for now, before in zip(full.aggregate.rows.values(), rows.values(), strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize(("restart", "each"), [(True, LIMIT), (False, 1)])
def test_a_round_is_full_of_episodes_or_has_one(restart, each):
    # The expert, which acts, falls at its first step.
    given = data(expert_acts=True, table=FOOLISH, physics=DEADLY)
    state, _ = run(make(restart=restart), given, rounds=2)
    assert int(state.aggregate.count) == 2 * 2 * each
    np.testing.assert_array_equal(state.aggregate.rows["label"][: 4 * each], CLIMB)


def test_a_beta_of_one_is_online_cloning():
    always = make(beta="geometric", beta_decay=1.0)
    mixed, history = run(always, data())
    online, _ = run(make(), data(expert_acts=True))
    for found, expected in zip(
        jax.tree.leaves((mixed.aggregate, mixed.network)),
        jax.tree.leaves((online.aggregate, online.network)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert [metrics["clone/beta"] for metrics in history] == [1.0, 1.0, 1.0]
    assert (online.aggregate.rows["label"] == STAY).all()  # it never leaves the road


def test_a_warm_start_is_a_clone_and_keeps_its_rows():
    obs = np.eye(2)[[0, 1, 0, 1, 0]]
    demos = from_episodes([{"obs": obs, "action": np.array([STAY, CLIMB, STAY, CLIMB])}])
    padded = dataclasses.replace(demos, count=jnp.asarray(3, jnp.int32))
    algorithm = make(warm_start="bc", warm_updates=300)
    state = algorithm.init(jax.random.key(0), data(demos=padded))
    assert int(state.aggregate.count) == 3
    np.testing.assert_array_equal(state.aggregate.rows["label"][:4], [STAY, CLIMB, STAY, 0])
    policy = algorithm.policy(state, deterministic=True)
    np.testing.assert_array_equal(policy.act(policy.params, jnp.eye(2), None, ())[0], WISE)
    after, metrics = algorithm.step(state, data(demos=padded))
    assert int(after.aggregate.count) == 3 + 2 * LIMIT
    assert float(metrics["clone/labels"]) == 3
    with pytest.raises(UserError, match="needs demonstrations"):
        algorithm.init(jax.random.key(0), data())


def test_observations_are_standardised_by_those_of_the_aggregate():
    network = dataclasses.replace(BASE.network, normalise_observations=True)
    state, _ = run(make(network=network), data(), rounds=2)
    seen = np.asarray(state.aggregate.rows["obs"][: 2 * 2 * LIMIT])
    np.testing.assert_allclose(state.obs_moments.mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.obs_moments.variance, seen.var(0), rtol=1e-4)


# That it learns.


def beside_its_control(algorithm, expert, rounds):
    """Returns by round `[rounds, 2]` of DAgger and of online cloning, and the final states."""
    lanes = dagger.Data(expert=None, expert_acts=0)
    given = dagger.Data(expert=expert.params, expert_acts=jnp.array([False, True]))

    def train(key):
        states = jax.vmap(algorithm.init, (0, lanes))(jnp.stack([key] * 2), given)
        step = jax.vmap(algorithm.step, (0, lanes))
        return jax.lax.scan(lambda states, _: step(states, given), states, length=rounds)

    states, metrics = jax.jit(train)(jax.random.key(1))
    return metrics["agent/return"], states


@pytest.mark.parametrize("loss", ["nll", "cross_entropy", "kl"])
def test_every_loss_learns(loss):
    algorithm = make(loss=loss, rounds=6, learning_rate=0.03, num_judged=32)
    returns, _ = beside_its_control(algorithm, EXPERT, 6)
    assert (returns[0] < 0.7 * LIMIT).all()
    assert returns[-1, 0] > 0.9 * LIMIT


def test_the_learner_climbs_out_where_a_clone_stays():
    """On this road one must alternate, which only the expert, who counts, can do.

    So the learner falls in every second step. The expert never does: only if the learner acts is
    it ever asked how to climb out.
    """
    climb = 2
    spec = dataclasses.replace(SPEC, num_actions=3)

    def begin(key, params):
        state = (jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        return state, observe(state[0])

    def move(key, state, action, params):
        place, time = state
        right = action == jnp.where(place == ROAD, time % 2, climb)
        place = jnp.where(right, ROAD, DITCH).astype(jnp.int32)
        return (place, time + 1), Step(
            next_obs=observe(place),
            reward=(place == ROAD).astype(jnp.float32),
            terminated=ONE,
            truncated=ONE,
        )

    def know(params, obs, key, time):
        return jnp.where(obs.argmax(-1) == ROAD, time % 2, climb), time + 1

    env = Environment(spec=spec, params=(), reset=begin, step=move)
    expert = Policy(params=(), act=know, memory=lambda batch: jnp.zeros(batch, jnp.int32))
    config = dataclasses.replace(
        BASE, rounds=8, num_judged=64, updates_per_round=20, learning_rate=0.02
    )
    returns, states = beside_its_control(dagger.make(config, env, expert), expert, 8)
    # Half of the steps on the road fail, every climb succeeds: 2/3 of all steps, against one.
    assert returns[-1, 0] > 0.55 * LIMIT > 0.3 * LIMIT > returns[-1, 1]
    np.testing.assert_array_equal(states.aggregate.count, [8 * 2 * LIMIT] * 2)


def test_vectors_are_learned_by_squared_errors():
    spec = Spec(
        name="line", obs_shape=(1,), time_limit=10, action_size=1,
        action_low=(-1.0,), action_high=(1.0,),
    )  # fmt: skip

    def begin(key, params):
        x = jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)
        return x, x

    def move(key, x, action, params):
        x = x + action
        return x, Step(next_obs=x, reward=-jnp.abs(x[0]), terminated=ONE, truncated=ONE)

    env = Environment(spec=spec, params=(), reset=begin, step=move)
    expert = Policy(
        params=jnp.float32(-1.0), act=lambda p, obs, key, c: (jnp.clip(p * obs, -1, 1), c)
    )
    config = dataclasses.replace(
        BASE, loss="mse", rounds=5, updates_per_round=100, learning_rate=0.01, num_judged=16
    )
    algorithm = dagger.make(config, env, expert)
    given = dagger.Data(expert=expert.params, expert_acts=ONE)

    def train(key):
        state = algorithm.init(key, given)
        return jax.lax.scan(lambda s, _: algorithm.step(s, given), state, length=5)

    state, metrics = jax.jit(train)(jax.random.key(0))
    assert metrics["agent/return"][0] < -3.0 < -0.5 < metrics["agent/return"][-1]
    policy = algorithm.policy(state)  # which never samples
    obs = jnp.linspace(-0.9, 0.9, 7)[:, None]
    np.testing.assert_allclose(policy.act(policy.params, obs, None, ())[0], -obs, atol=0.15)


# What cannot be.


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"loss": "mse"}, "discrete"),
        ({"loss": "nil"}, "did you mean nll"),
        ({"beta": "geometrical"}, "did you mean geometric"),
        ({"mixing": "steps"}, "did you mean step"),
        ({"warm_start": "bcc"}, "did you mean bc"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"beta_decay": 1.5}, "between 0 and 1"),
    ],
)
def test_impossible_configurations_are_user_errors(changes, word):
    with pytest.raises(UserError, match=word):
        dagger.make(dataclasses.replace(BASE, **changes), ENV, EXPERT, outputs)


def returning(action):
    return Policy(params=(), act=lambda params, obs, key, carry: (action, carry))


@pytest.mark.parametrize(
    ("expert", "word"),
    [
        (returning(jnp.zeros((1, 3))), r"float32 of shape \(3,\), but those of 'road' are int32"),
        (returning(jnp.zeros(1)), "float32 of shape"),
        (Policy(params=jnp.zeros((5, 2)), act=lambda p, obs, key, c: (obs @ p, c)), r"\(2,\)"),
    ],
)
def test_an_expert_of_another_kind_is_refused(expert, word):
    with pytest.raises(UserError, match=word):
        dagger.make(BASE, ENV, expert)


def test_distributions_must_be_there_and_alike():
    config = dataclasses.replace(BASE, loss="kl")
    with pytest.raises(UserError, match="needs the expert's distribution"):
        dagger.make(config, ENV, EXPERT)
    with pytest.raises(UserError, match="logits"):
        dagger.make(config, ENV, EXPERT, lambda params, obs: {"logits": jnp.zeros((1, 3))})


def test_spaces_are_compared_in_one_sentence():
    other = dataclasses.replace(SPEC, name="other", num_actions=3)
    with pytest.raises(UserError, match=r"it has .*3 actions, but road has .*2 actions"):
        labelling.check_spaces(other, SPEC, "it")
    labelling.check_spaces(dataclasses.replace(SPEC, name="same"), SPEC, "it")
