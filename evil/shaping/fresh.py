"""Learners on rewards with and without shaping, side by side, and what their curves were worth."""

from __future__ import annotations

from evil.pytrees import pytree
from evil.seams import Algorithm, Key, Learner, Metrics, PyTree
from evil.shaping import lives


@pytree
class State:
    """A learner and the worth of its life so far."""

    learner: PyTree
    tally: lives.Tally  # of returns of the real reward


def make(learner: Learner) -> Algorithm:
    """Learning on a frozen reward, with the true learning curve summed up on the way.

    `data = {"reward", "physics"}`: parameters of the score, and of the world, None for its own.
    """

    def init(key: Key, data: PyTree) -> State:
        return State(learner=learner.init(key, data["physics"]), tally=lives.empty())

    def step(state: State, data: PyTree) -> tuple[State, Metrics]:
        following, _, metrics = learner.step(state.learner, data["reward"])
        return State(learner=following, tally=lives.add(state.tally, metrics, "real")), metrics

    return Algorithm(
        init=init,
        step=step,
        policy=lambda state, **options: learner.policy(state.learner, **options),
        reward=lambda state: (),
        steps_per_iteration=learner.steps_per_iteration,
        parts=learner.parts,
    )
