"""What a learning curve is worth, point by point."""

import jax.numpy as jnp
import numpy as np
import pytest

from evil.seams import Learner
from evil.shaping import lives


def metrics(value, length):
    return {
        "agent/return": jnp.float32(value),
        "agent/scored_return": jnp.float32(-value),
        "agent/length": jnp.float32(length),
    }


@pytest.mark.parametrize(("curve", "sign"), [("real", 1), ("recovered", -1)])
def test_worth_by_hand(curve, sign):
    tally = lives.empty()
    for value, length in ((0, 0), (2, 5), (6, 5), (4, 5)):  # the first knows of no episode yet
        tally = lives.add(tally, metrics(value, length), curve)
    np.testing.assert_allclose(lives.worth(tally, "area_under_curve"), sign * 4.0)
    np.testing.assert_allclose(lives.worth(tally, "last"), sign * 4.0)


def test_a_life_without_episodes_is_worth_nothing():
    tally = lives.add(lives.empty(), metrics(7, 0), "real")
    assert lives.worth(tally, "area_under_curve") == 0 and lives.worth(tally, "last") == 0


def test_a_life_in_parts_is_the_whole_life():
    def step(state, params):
        return state + 1, None, metrics(params * state, 1.0)

    learner = Learner(
        init=lambda key: 0,
        step=step,
        policy=lambda state: state,
        reset_policy=lambda key, state: state,
        steps_per_iteration=1,
    )
    start = jnp.zeros(())
    _, whole = lives.live(learner, start, 2.0, lives.empty(), 5, "real")
    state, part = lives.live(learner, start, 2.0, lives.empty(), 2, "real")
    _, part = lives.live(learner, state, 2.0, part, 3, "real")
    np.testing.assert_allclose(lives.worth(whole, "area_under_curve"), 2 * (0 + 1 + 2 + 3 + 4) / 5)
    for fitness in lives.FITNESS:
        assert lives.worth(whole, fitness) == lives.worth(part, fitness)
