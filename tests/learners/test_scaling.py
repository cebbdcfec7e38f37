"""Return-based reward scaling against sums by hand."""

import jax.numpy as jnp
import numpy as np

from evil.learners import scaling


def test_reward_scale_against_a_loop():
    rng, discount = np.random.default_rng(0), 0.9
    state, seen = scaling.init(2), []
    running = np.zeros(2)
    for scale in (1.0, 10.0, 0.1):
        rewards = rng.normal(0.5, scale, (5, 2)).astype(np.float32)
        done = rng.random((5, 2)) < 0.3
        state, found = scaling.scale_rewards(
            state, jnp.asarray(rewards), jnp.asarray(done), discount=discount
        )
        for reward, end in zip(rewards, done, strict=True):
            running = discount * running + reward
            seen.append(running)
            running = np.where(end, 0.0, running)
        np.testing.assert_allclose(found, rewards / np.std(seen), rtol=1e-4)
        np.testing.assert_allclose(state.running, running, rtol=1e-4, atol=1e-6)
