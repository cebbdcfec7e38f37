"""Whether a frozen reward teaches: fresh policies trained on it from scratch."""

from __future__ import annotations

import jax

from evil import registry
from evil.seams import Environment, Key, Learner, Metrics, Policy, PyTree, Score


def retrain(
    score: Score,
    reward_params: PyTree,
    env: Environment,
    learner: object,
    keys: Key,
    *,
    iterations: int,
) -> tuple[Policy, Metrics]:
    """Train a fresh policy for each of `keys [K]` on one frozen reward, side by side.

    `learner` is the config of a learner, e.g. `ppo.Config()`. Returns the policies, stacked `[K]`,
    and the learner's metrics `[K, iterations]`. Pure: call it inside your own `jit`. What the
    policies are worth is what they return under the real reward, over full episodes.
    """
    bound: Learner = registry.make(learner, env, score)

    def step(state: PyTree, nothing: None) -> tuple[PyTree, Metrics]:
        state, _rollout, metrics = bound.step(state, reward_params)
        return state, metrics

    def one(key: Key) -> tuple[Policy, Metrics]:
        state, metrics = jax.lax.scan(step, bound.init(key), length=iterations)
        return bound.policy(state), metrics

    return jax.vmap(one)(keys)
