"""Rounds and shares, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.learners import mixing, scoring
from evil.rewards import combine, fixed, labels
from evil.seams import Score, Transition
from tests.rewards.blobs import DEMOS, ENV


def steps(*shape, ends=0):
    """Steps of which only the first `ends` terminate."""
    zeros = jnp.zeros(shape)
    ended = (jnp.arange(zeros.size) < ends).reshape(shape)
    return Transition(
        obs=jnp.zeros((*shape, 2)),
        action=jnp.zeros((*shape, 1)),
        next_obs=jnp.zeros((*shape, 2)),
        reward=zeros,
        terminated=ended,
        truncated=jnp.zeros(shape, bool),
    )


def test_rounds_begin_where_they_should():
    rounds, found = mixing.init(), []
    for ends in (3, 1, 0, 2, 5):
        rounds = mixing.count(rounds, steps(2, 3, ends=ends), 2)
        found.append((int(mixing.present(rounds, 2)), int(rounds.before), int(rounds.ended)))
    assert found == [(0, 0, 3), (0, 0, 4), (1, 4, 4), (1, 4, 6), (2, 6, 11)]


def test_without_a_length_there_is_one_round():
    length = mixing.per_round(0, 6)
    rounds = mixing.init()
    for _ in range(3):
        rounds = mixing.count(rounds, steps(2, 3, ends=1), length)
    assert (mixing.present(rounds, length), rounds.before, rounds.ended) == (0, 0, 3)
    assert mixing.per_round(18, 6) == 3
    with pytest.raises(UserError, match="multiple of the 6 transitions of a rollout, found 20"):
        mixing.per_round(20, 6)


def test_rounds_are_whole_rollouts():
    found = [mixing.nearest(length, 256) for length in (0, 100, 1250, 12500)]
    assert found == [0, 256, 1280, 12544]


def test_a_share_of_each_batch():
    found = mixing.is_experts(2, 4, 0.5, jnp.int32(7), alternate=False)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0]] * 2)


@pytest.mark.parametrize(("share", "pattern"), [(0.5, [0, 1] * 6), (0.25, [0, 0, 0, 1] * 3)])
def test_a_share_of_all_batches(share, pattern):
    found = [
        mixing.is_experts(3, 2, share, jnp.int32(first), alternate=True) for first in (0, 3, 6, 9)
    ]
    whole = np.concatenate(found)
    np.testing.assert_array_equal(whole, np.array(pattern, bool)[:, None].repeat(2, 1))
    late = mixing.is_experts(4, 1, share, jnp.int32(10**8), alternate=True)
    np.testing.assert_array_equal(late[:, 0], pattern[:4])


def test_rows_are_mixed_and_know_their_origin():
    score = combine.with_expert(fixed.real())
    agent = steps(2, 4)
    rounds = mixing.Rounds(rollouts=jnp.int32(5), ended=jnp.int32(9), before=jnp.int32(7))
    collected = jnp.array([[2, 2, 2, 1], [2, 2, 0, 2]])
    found = mixing.mix(
        jax.random.key(0),
        score,
        {"reward": (), "expert": DEMOS},
        agent,
        collected,
        rounds,
        mixing.Mixture(rollout=6, capacity=60, length=2, share=0.5),
    )
    assert found.origin is not None
    np.testing.assert_array_equal(found.origin.is_expert, [[1, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(found.origin.is_old, [[0, 0, 0, 1], [0, 0, 1, 0]])
    np.testing.assert_array_equal(found.origin.episodes, np.full((2, 4), 7))
    assert (found.obs[:, :2] != 0).all() and (found.obs[:, 2:] == 0).all()


@pytest.mark.parametrize(
    ("rollouts", "left", "rows"),
    # Of 100 rows the expert's 30 come first; from the eighth rollout on, they are overwritten.
    [(1, 30, 40), (7, 30, 100), (8, 20, 100), (10, 0, 100), (10**8, 0, 100)],
)
def test_a_replay_that_begins_with_the_experts_rows(rollouts, left, rows):
    mixture = mixing.Mixture(rollout=10, capacity=100, prefill=30)
    np.testing.assert_allclose(mixing.prefilled(mixture, jnp.int32(rollouts)), left / rows)


def test_prefilled_rows_are_drawn_as_often_as_they_lie_there():
    rounds = mixing.Rounds(rollouts=jnp.int32(1), ended=jnp.int32(0), before=jnp.int32(0))
    found = mixing.mix(
        jax.random.key(0),
        combine.with_expert(fixed.real()),
        {"reward": (), "expert": DEMOS},
        steps(50, 100),
        jnp.zeros((50, 100), jnp.int32),
        rounds,
        mixing.Mixture(rollout=10, capacity=100, prefill=30),
    )
    is_expert = np.asarray(found.origin.is_expert)
    assert abs(is_expert.mean() - 0.75) < 0.02
    np.testing.assert_array_equal((found.obs != 0).all(-1), is_expert)


def test_labels_by_hand():
    is_expert = jnp.array([True, False, False])
    is_old = jnp.array([False, True, False])
    np.testing.assert_array_equal(labels.sqil(is_expert), [1, 0, 0])
    found = labels.adril(is_expert, is_old, jnp.float32(4), jnp.int32(10))
    np.testing.assert_allclose(found, [0.25, -0.1, 0.0])
    found = labels.adril(is_expert, is_old, jnp.float32(4), jnp.int32(0))
    np.testing.assert_allclose(found, [0.25, -1.0, 0.0])
    assert labels.in_use(DEMOS) == 1


def test_who_does_not_fit_is_refused():
    model = labels.make(labels.Config(), ENV)
    with pytest.raises(UserError, match="expected expert_share or prefill above 0"):
        scoring.check(model.score)
    scoring.check(combine.with_expert(model.score), 0.5)
    with pytest.raises(UserError, match="brings no demonstrations"):
        scoring.check(fixed.real(), 0.5)
    with pytest.raises(UserError, match="when rows are drawn"):
        scoring.check(combine.with_expert(fixed.real()), 0.5, stored=True)
    for taken in ({"prefill": 3}, {"cloned": 3}):
        with pytest.raises(UserError, match="is 3, but this reward brings no demonstrations"):
            scoring.check(fixed.real(), **taken)
    real = combine.with_expert(fixed.real())
    scoring.check(real, cloned=3, stored=True)
    with pytest.raises(UserError, match="prefill needs rewards that are asked for"):
        scoring.check(combine.with_expert(fixed.real()), prefill=3, stored=True)
    remembering = Score(apply=real.apply, memory=jnp.zeros, expert=real.expert)
    scoring.check(remembering, 0.5, stored=True)
    with pytest.raises(UserError, match="expert_share needs rewards that are asked for"):
        scoring.check(remembering, 0.5, stored=True, scaled=True)
    with pytest.raises(UserError, match="from 0 to below 1, found"):
        scoring.check(fixed.real(), 1.0)
    with pytest.raises(UserError, match="did you mean sqil"):
        labels.make(labels.Config(kind="sqill"), ENV)
