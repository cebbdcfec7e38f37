"""Fresh policies on a recovered reward, and on the two rewards that put theirs in proportion.

    retrain    the recovered reward, frozen: does it teach what it was recovered from?
    rl         the real reward: how much this learner and budget could have reached
    survival   1 per step: how much comes of not ending the episode

All lanes share one learner, budget and compiled program; only the weights of sums differ. A shaping
term is added to the recovered reward alone.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from evil import registry
from evil.errors import UserError
from evil.experiments.shared import measure
from evil.experiments.shared.comparison import Term
from evil.learners import alone
from evil.rewards import combine, fixed
from evil.running.runner import Phase
from evil.seams import Algorithm, Environment, Key, Policy, PyTree, RewardModel


@dataclasses.dataclass(frozen=True)
class Retraining:
    """A phase whose lanes learn from different rewards, in the order of `groups`."""

    phase: Phase

    def policies(self, states: PyTree, *, deterministic: bool = False) -> dict[str, Policy]:
        """What each group of lanes has learned by the phase's `states`, stacked over its lanes."""
        stacked = measure.stacked_policy(
            self.phase.algorithm.policy, states, deterministic=deterministic
        )
        found, start = {}, 0
        for name, size in self.phase.groups:
            rows = slice(start, start + size)
            found[name] = jax.tree.map(lambda x, rows=rows: x[rows], stacked)
            start += size
        return found


def check(reward: RewardModel) -> None:
    """UserError for a reward on which nobody can be trained anew."""
    if reward.score.reads_origin:
        raise UserError("labels of origin teach nobody anew: expected no retraining on them.")


def make(
    learner: object,
    reward: RewardModel,
    env: Environment,
    reward_params: PyTree,
    key: Key,
    *,
    per_reward: int,
    iterations: int,
    chunk: int,
    baselines: bool = True,
    shaping: Term | None = None,
) -> Retraining:
    """Retraining with the learner of a config on S rewards, stacked in `reward_params`.

    There are `per_reward` policies on each recovered reward, and S on each of the other two,
    unless `baselines` is False. The parameters of `shaping` are stacked like the rewards.
    """
    check(reward)
    score = combine.weighted(reward.score, fixed.real(), fixed.survival())
    if shaping is not None:
        score = combine.shaped(score, combine.weighted(shaping.potential.score))
    algorithm: Algorithm = alone.make(registry.make(learner, env, score))
    num_rewards = jax.tree.leaves(reward_params)[0].shape[0]
    others = (("rl", num_rewards), ("survival", num_rewards)) if baselines else ()
    groups = (("retrain", per_reward * num_rewards), *others)
    which = jnp.repeat(jnp.arange(len(groups)), jnp.array([size for _, size in groups]))
    each = jnp.arange(num_rewards)
    seeds = jnp.concatenate([jnp.repeat(each, per_reward), *[each] * len(others)])
    recovered = jax.tree.map(lambda x: x[seeds], reward_params)
    data = {"weights": jnp.eye(3)[which], "parts": (recovered, (), ())}
    if shaping is not None:
        potentials = jax.tree.map(lambda x: x[seeds], shaping.params)
        heeded = jnp.where(which == 0, 1.0, 0.0)[:, None]
        data = {"reward": data, "shaping": {"weights": heeded, "parts": (potentials,)}}
    phase = Phase(
        name="retrain",
        algorithm=algorithm,
        data=data,
        data_axes=0,
        keys=jax.random.split(key, which.shape[0]),
        groups=groups,
        iterations=iterations,
        chunk=chunk,
    )
    return Retraining(phase=phase)
