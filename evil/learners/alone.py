"""A learner as an algorithm of its own: its `data` are the parameters of a frozen reward."""

from __future__ import annotations

from evil.seams import Algorithm, Key, Learner, Metrics, PyTree


def make(learner: Learner) -> Algorithm:
    """Reinforcement learning, or retraining on a recovered reward, as the runner drives it."""

    def init(key: Key, reward_params: PyTree) -> PyTree:
        del reward_params
        return learner.init(key)

    def step(state: PyTree, reward_params: PyTree) -> tuple[PyTree, Metrics]:
        state, _, metrics = learner.step(state, reward_params)
        return state, metrics

    return Algorithm(
        init=init,
        step=step,
        policy=learner.policy,
        reward=lambda state: (),
        steps_per_iteration=learner.steps_per_iteration,
        parts=learner.parts,
    )
