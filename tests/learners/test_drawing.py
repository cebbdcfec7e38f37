"""What batches are made of: rows of the absorbing state in three ways, and rows that are cloned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.learners import drawing, mixing, sac, scoring, soft
from evil.networks import actor_critic
from evil.networks.critics import Critics
from evil.rewards import absorbing, combine, fixed, memoryless
from evil.seams import Transition
from tests.learners import probes
from tests.learners.test_sac import CONFIG
from tests.rewards.blobs import DEMOS

SPEC = probes.SPECS["continuous"]
REAL = fixed.real()


def source(kind, score=REAL, **changes):
    mixture = mixing.Mixture(rollout=8, capacity=48)
    return drawing.Source(
        spec=SPEC,
        score=score,
        mixture=dataclasses.replace(mixture, **changes),
        num=50,
        size=100,
        is_stored=False,
        absorbing=kind,
        scaled=False,
    )


def rollout(ends):
    """Four steps in two worlds, of which the first `ends` terminate."""
    ended = (jnp.arange(8) < ends).reshape(4, 2)
    obs = jnp.ones((4, 2, 3))
    return Transition(
        obs=obs,
        action=jnp.ones((4, 2, 1)),
        next_obs=obs,
        reward=jnp.ones((4, 2)),
        terminated=ended,
        truncated=jnp.zeros((4, 2), bool),
    )


def filled(kind, *ends, **changes):
    """A replay after rollouts with so many ends each."""
    made = source(kind, **changes)
    store, rounds = made.init(), mixing.init()
    for number in ends:
        rounds = mixing.count(rounds, rollout(number), mixing.FOR_EVER)
        store = made.write(store, rollout(number), jnp.ones((4, 2)), rounds)
    return made, store, rounds


@pytest.mark.parametrize("ends", [(2, 0, 3), (8, 1, 0, 0, 2, 3, 1, 4)])
def test_virtual_rows_are_as_frequent_as_stored_ones(ends):
    shares = {}
    for kind in ("virtual", "stored"):
        made, store, rounds = filled(kind, *ends)
        steps, _ = made.steps(jax.random.key(0), store, rounds, ())
        assert steps.origin is not None
        chosen = np.asarray(steps.origin.is_absorbing)
        shares[kind] = chosen.mean()
        np.testing.assert_array_equal(steps.obs[..., 0], 1.0 - chosen)
        assert steps.terminated[chosen].all() and (steps.next_obs[chosen] == 0).all()
        # Applied actions lie between -1 and 2: the absorbing one is in the middle.
        np.testing.assert_array_equal(steps.action[..., 0], np.where(chosen, 0.5, 1.0))
    last = ends[-6:]  # what a replay of 48 rows still holds, where no row of an end is stored
    share = sum(last) / (8 * len(last) + sum(last))
    assert abs(shares["virtual"] - share) < 0.015
    if len(ends) < 6:  # stored rows of ends take room from others
        assert abs(shares["stored"] - share) < 0.015


def test_a_ring_takes_any_number_of_rows():
    _, store, _ = filled("stored", 8, 1, 0, 4)  # 32 rows and 13 of ends
    assert (store.ring.count, store.ring.next_row) == (45, 45)
    _, store, _ = filled("stored", 8, 1, 0, 4, 2)  # ten more, of which seven begin anew
    assert (store.ring.count, store.ring.next_row) == (48, 7)
    np.testing.assert_array_equal(
        np.flatnonzero(store.ring.rows.is_absorbing),
        [5, 6, *range(8, 16), 24, *range(41, 45)],
    )


def test_the_experts_ends_count_by_themselves():
    score = combine.with_expert(REAL)
    ended = dataclasses.replace(DEMOS, terminated=jnp.ones_like(DEMOS.terminated))
    made = source("virtual", dataclasses.replace(score, expert=lambda *_: expert), share=0.5)
    expert = jax.tree.map(
        lambda x: jnp.broadcast_to(x.reshape((8, *x.shape[2:])), (625, 8, *x.shape[2:])).reshape(
            (5000, *x.shape[2:])
        ),
        rollout(2),
    )
    _, store, rounds = filled("virtual", 0)
    steps, _ = made.steps(jax.random.key(0), store, rounds, {"reward": (), "expert": ended})
    assert steps.origin is not None
    shares = [
        steps.origin.is_absorbing[mask].mean()
        for mask in (steps.origin.is_expert, ~steps.origin.is_expert)
    ]
    np.testing.assert_allclose(shares, [0.2, 0.0], atol=0.02)  # 2 / (8 + 2)


def test_where_rewards_are_stored_the_expert_brings_its_own():
    score = combine.with_expert(REAL)
    made = dataclasses.replace(source("analytic", score, share=0.5), is_stored=True)
    store, rounds = made.init(), mixing.count(mixing.init(), rollout(0), mixing.FOR_EVER)
    store = made.write(store, rollout(0), jnp.full((4, 2), 7.0), rounds)
    worth = dataclasses.replace(DEMOS, reward=jnp.full_like(DEMOS.reward, 3.0))
    params = {"reward": (), "expert": worth}
    made = dataclasses.replace(made, score=dataclasses.replace(score, expert=lambda *_: threes))
    threes = jax.tree.map(
        lambda x: jnp.tile(x.reshape((8, *x.shape[2:])), (625, *[1] * (x.ndim - 2))),
        dataclasses.replace(rollout(0), reward=jnp.full((4, 2), 3.0)),
    )
    steps, paid = made.steps(jax.random.key(0), store, rounds, params)
    assert steps.origin is not None
    np.testing.assert_array_equal(paid, np.where(steps.origin.is_expert, 3.0, 7.0))


# A chain of three states pays one per step and ends; then there is half a unit per step for ever.
AFTER, STEPS = 0.5, 4  # γ / (1 - γ) of them


def paid(params, rows):
    return absorbing.continued(jnp.ones_like(rows.reward), rows, jnp.float32(AFTER), STEPS)


@pytest.mark.parametrize("kind", drawing.ABSORBING)
def test_all_ways_find_the_same_values(kind):
    config = dataclasses.replace(CONFIG, absorbing=kind, anneal_iterations=60)
    env = probes.environment("continuous")
    learner = sac.make(config, env, memoryless(paid, pays_absorbing=True))
    module = actor_critic.make(config.network, SPEC)
    critics = Critics(SPEC, module.hidden, module.activation, absorbing=kind != "analytic")
    networks = soft.Networks(module, critics)

    def train(key):
        state = learner.init(key, probes.world(**probes.CHAIN))
        state, _ = jax.lax.scan(lambda s, _: learner.step(s, ())[::2], state, None, 60)
        policy = learner.policy(state, deterministic=True)
        actions, _ = policy.act(policy.params, probes.STATES, key, ())
        values = networks.values(state.weights.critics, probes.STATES, actions).mean(0)
        return values, networks.absorbing_value(state.weights.critics)

    values, beyond = jax.jit(train)(jax.random.key(0))
    np.testing.assert_allclose(values, [3.72, 3.4, 3.0], atol=0.15)
    np.testing.assert_allclose(beyond, 0.0 if kind == "analytic" else 2.5, atol=0.15)


def test_a_reward_that_knows_no_absorbing_state_pays_nothing_there():
    made, store, rounds = filled("virtual", 8)
    module = actor_critic.make(CONFIG.network, SPEC)
    networks = soft.Networks(module, Critics(SPEC, (8,), "relu", absorbing=True))
    actor = networks.init(jax.random.key(0), 1.0).actor
    batch = made.draw(
        jax.random.key(0), store, rounds, scoring.init(REAL, 2), (), networks, actor, lambda x: x
    )
    assert batch.is_absorbing is not None
    np.testing.assert_array_equal(batch.reward, 1.0 - batch.is_absorbing)


def test_of_a_sum_only_those_speak_that_know_the_absorbing_state():
    made, store, rounds = filled("virtual", 8)
    steps, _ = made.steps(jax.random.key(0), store, rounds, ())
    assert steps.origin is not None
    score = combine.weighted(memoryless(paid, pays_absorbing=True), fixed.survival())
    assert score.pays_absorbing and not combine.weighted(REAL, REAL).pays_absorbing
    params = {"weights": jnp.array([1.0, 10.0]), "parts": ((), ())}
    rewards, _ = score.apply(params, ((), ()), steps)
    np.testing.assert_allclose(rewards, jnp.where(steps.origin.is_absorbing, AFTER, 11.0))


def test_an_actor_clones_beside_its_game():
    module = actor_critic.make(CONFIG.network, SPEC)
    networks = soft.Networks(module, Critics(SPEC, (8,), "relu"))
    weights = networks.init(jax.random.key(0), 1.0)
    nothing = jnp.zeros(3)
    batch = soft.Batch(
        obs=probes.STATES,
        action=jnp.zeros((3, 1)),
        next_obs=probes.STATES,
        terminated=nothing == 0,
        reward=nothing,
    )
    options = {"rate": 1e-2, "discount": 0.9, "retention": 0.9, "target_entropy": None}

    @jax.jit
    def both(weight):
        labels = (probes.STATES, jnp.array([[1.5], [-0.5], [0.5]]))
        with_labels = dataclasses.replace(batch, cloned=labels)

        def advance(weights, key):
            return soft.update(
                weights, with_labels, key, networks, cloning_weight=weight, **options
            )

        keys = jax.random.split(jax.random.key(1), 200)
        after, metrics = jax.lax.scan(advance, weights, keys)
        once = soft.update(weights, batch, keys[0], networks, **options)[0]
        same = advance(weights, keys[0])[0]
        mode = module.apply(after.actor, probes.STATES, method="actor")["mean"]
        return once.actor, same.actor, metrics["learner/cloning_loss"], module.family.apply(mode)

    once, same, _, _ = both(0.0)
    jax.tree.map(np.testing.assert_array_equal, once, same)
    _, _, loss, actions = both(10.0)
    assert loss[-1] < loss[0] - 0.5
    np.testing.assert_allclose(actions[:, 0], [1.5, -0.5, 0.5], atol=0.15)


@pytest.mark.parametrize(
    ("changes", "score", "said"),
    [
        ({"absorbing": "stord"}, REAL, "did you mean stored"),
        (
            {"absorbing": "virtual"},
            combine.shaped(REAL, REAL),
            "a shaping term knows no absorbing state",
        ),
        ({"prefill": -1}, REAL, "prefill must be at least 0"),
        ({"cloning_batch": 4}, REAL, "cloning_batch is 4, but this reward brings no"),
        (
            {"absorbing": "virtual", "scoring": "collected"},
            memoryless(paid, pays_absorbing=True),
            "absorbing virtual needs rewards that are asked for when rows are drawn",
        ),
    ],
)
def test_bad_options_are_the_users_error(changes, score, said):
    with pytest.raises(UserError, match=said):
        sac.make(dataclasses.replace(CONFIG, **changes), probes.environment("continuous"), score)
