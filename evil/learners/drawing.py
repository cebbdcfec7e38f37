"""The batches of an off-policy learner: drawn from its replay, mixed with the expert's, and priced.

    replay ─► rows ─► some are the expert's ─► some are of the absorbing state ─► rewards

An episode that terminated can go on in an absorbing state in three ways. `analytic`: the learner
knows of none, and a reward may pay at the end what there would be to come. `stored`: a row of the
absorbing state enters the replay after every end. `virtual`: as those rows are all alike, none is
stored, but each row drawn is replaced by one with the share that they would have:

    ends / (rows + ends)

Of the expert's rows, the share of those drawn that terminate stands for ends / rows.

Reference: kostrikov2019dac, arulkumaran2023pragmatic
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, unknown
from evil.learners import minibatches, mixing, replay, scoring, soft
from evil.learners.rollout import blank
from evil.pytrees import merge_leading, pytree, select
from evil.seams import Key, PyTree, Score, Spec, Transition

if TYPE_CHECKING:
    from evil.learners import sac

Absorbing = Literal["analytic", "virtual", "stored"]
SCORINGS = ("auto", "sampled", "collected")
ABSORBING = ("analytic", "virtual", "stored")


@pytree
class Row:
    """What the replay holds of a step."""

    transition: Transition
    reward: Array | None  # as paid when it was collected, where that is what counts
    round: Array  # int32: in which it was collected
    is_absorbing: Array | None  # bool, where such rows are stored


@pytree
class Store:
    """The replay, and what must be known of it as a whole."""

    ring: replay.Ring
    ends: Array  # [] int32: rows that terminate, where absorbing rows are virtual


@dataclasses.dataclass(frozen=True)
class Source:
    """How the batches of a learner come about."""

    spec: Spec
    score: Score
    mixture: mixing.Mixture
    num: int  # batches after a rollout
    size: int  # rows in each
    is_stored: bool  # whether rewards are those of when rows were collected
    absorbing: Absorbing
    scaled: bool  # whether rewards are in units of the spread of their sums
    cloned: int = 0  # steps of the expert beside each batch

    def init(self) -> Store:
        """An empty replay."""
        zero = jnp.zeros((), jnp.int32)
        row = self._rows(blank(self.spec), jnp.zeros(()), zero)
        return Store(ring=replay.init(row, self.mixture.capacity), ends=zero)

    def _rows(self, transitions: Transition, paid: Array, present: Array) -> Row:
        return Row(
            transition=dataclasses.replace(transitions, log_prob=None),
            reward=paid if self.is_stored else None,
            round=jnp.broadcast_to(present, paid.shape),
            is_absorbing=jnp.zeros(paid.shape, bool) if self.absorbing == "stored" else None,
        )

    def write(
        self, store: Store, transitions: Transition, paid: Array, rounds: mixing.Rounds
    ) -> Store:
        """The replay after a rollout `[T, B]` and what it was paid."""
        present = mixing.present(rounds, self.mixture.length)
        rows: Row = merge_leading(self._rows(transitions, paid, present))
        ended = rows.transition.terminated
        if self.absorbing == "stored":
            beyond = dataclasses.replace(
                rows,
                transition=self._beyond(rows.transition),
                reward=None if rows.reward is None else jnp.zeros_like(rows.reward),
                is_absorbing=jnp.ones_like(ended),
            )
            both = jax.tree.map(lambda *x: jnp.concatenate(x), rows, beyond)
            kept = jnp.concatenate([jnp.ones_like(ended), ended])
            return dataclasses.replace(store, ring=replay.append(store.ring, both, kept))
        ends = store.ends
        if self.absorbing == "virtual":
            column = store.ring.rows.transition.terminated
            before = replay.overwritten(store.ring, column, ended.shape[0])
            ends = ends + ended.sum(dtype=jnp.int32) - before.sum(dtype=jnp.int32)
        return Store(ring=replay.write(store.ring, rows), ends=ends)

    def draw(
        self,
        key: Key,
        store: Store,
        rounds: mixing.Rounds,
        accounts: scoring.State,
        reward_params: PyTree,
        networks: soft.Networks,
        actor: PyTree,
        observe: Callable[[Array], Array],
    ) -> soft.Batch:
        """Batches `[num, size]`, and what their rows are worth to the present actor.

        `observe` turns observations into what the networks see.
        """
        key_rows, key_cloned = jax.random.split(key)
        steps, stored = self.steps(key_rows, store, rounds, reward_params)
        obs, is_absorbing, acts = observe(steps.obs), None, 1.0
        if self.absorbing != "analytic":
            is_absorbing = steps.origin.is_absorbing
            obs, acts = select(is_absorbing, jnp.zeros_like(obs), obs), 1.0 - is_absorbing
        log_prob = acts * networks.log_prob(actor, obs, steps.action)
        if stored is not None:
            rewards = acts * stored
        else:
            known = dataclasses.replace(steps, log_prob=log_prob)
            rewards = scoring.pay_anew(
                self.score, reward_params, accounts, known, scaled=self.scaled
            )
            rewards = rewards if self.score.pays_absorbing else acts * rewards
        return soft.Batch(
            obs=obs,
            action=steps.action,
            next_obs=observe(steps.next_obs),
            terminated=steps.terminated,
            reward=rewards,
            is_absorbing=is_absorbing,
            cloned=self._cloned(key_cloned, reward_params, observe),
        )

    def steps(
        self, key: Key, store: Store, rounds: mixing.Rounds, reward_params: PyTree
    ) -> tuple[Transition, Array | None]:
        """Steps `[num, size]` of known origin, and what was paid for them where that counts."""
        key_own, key_expert, key_beyond = jax.random.split(key, 3)
        rows: Row = replay.sample(key_own, store.ring, self.num * self.size)
        rows = jax.tree.map(lambda x: x.reshape((self.num, -1, *x.shape[1:])), rows)
        steps = mixing.mix(
            key_expert,
            self.score,
            reward_params,
            rows.transition,
            rows.round,
            rounds,
            self.mixture,
        )
        if self.absorbing != "analytic":
            steps = self._go_on(key_beyond, steps, rows.is_absorbing, store)
        if rows.reward is None or not (self.mixture.share or self.mixture.prefill):
            return steps, rows.reward
        # Of rewards with episode memory, the expert's rows bring what they are worth along theirs.
        return steps, jnp.where(steps.origin.is_expert, steps.reward, rows.reward)

    def _cloned(
        self, key: Key, reward_params: PyTree, observe: Callable[[Array], Array]
    ) -> tuple[Array, Array] | None:
        """Observations and actions of the expert for each batch, if any are to be cloned."""
        if not self.cloned or self.score.expert is None:
            return None
        rows = self.score.expert(reward_params, key, self.num * self.cloned)
        return jax.tree.map(
            lambda x: x.reshape((self.num, -1, *x.shape[1:])), (observe(rows.obs), rows.action)
        )

    def _beyond(self, steps: Transition) -> Transition:
        """As many steps from the absorbing state to itself."""
        obs, action = soft.absorbing(self.spec)
        return dataclasses.replace(
            steps,
            obs=jnp.broadcast_to(obs, steps.obs.shape),
            action=jnp.broadcast_to(action, steps.action.shape),
            next_obs=jnp.broadcast_to(obs, steps.next_obs.shape),
            reward=jnp.zeros_like(steps.reward),
            terminated=jnp.ones_like(steps.terminated),  # what follows is the absorbing state
            truncated=jnp.zeros_like(steps.truncated),
        )

    def _go_on(self, key: Key, steps: Transition, stored: Array | None, store: Store) -> Transition:
        """Steps of which some are of the absorbing state, and say so."""
        is_expert = steps.origin.is_expert
        ends = jnp.sum(steps.terminated, where=is_expert)
        share_expert = ends / jnp.maximum(is_expert.sum() + ends, 1)
        share_own = store.ends / jnp.maximum(store.ring.count + store.ends, 1)
        share = jnp.where(is_expert, share_expert, share_own if stored is None else 0.0)
        chosen = jax.random.bernoulli(key, share)
        if stored is not None:
            chosen = chosen | (stored & ~is_expert)
        steps = select(chosen, self._beyond(steps), steps)
        origin = dataclasses.replace(steps.origin, is_absorbing=chosen)
        return dataclasses.replace(steps, origin=origin)


def source(config: sac.Config, spec: Spec, score: Score) -> Source:
    """What a config says of batches; UserError where that does not fit the reward."""
    for kind, name, known in (
        ("scoring", config.scoring, SCORINGS),
        ("absorbing state", config.absorbing, ABSORBING),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    is_stored = scoring.has_memory(score) or config.scoring == "collected"
    if is_stored and config.scoring == "sampled":
        raise UserError("a reward with episode memory needs scoring collected, found sampled.")
    taken = (config.expert_share, config.prefill, config.cloning_batch)
    scoring.check(score, *taken, stored=is_stored, scaled=config.normalise_rewards)
    if score.bonus is not None and config.absorbing != "analytic":
        raise UserError("a shaping term knows no absorbing state: expected absorbing analytic.")
    if is_stored and score.pays_absorbing and config.absorbing != "analytic":
        raise UserError(
            f"absorbing {config.absorbing} needs rewards that are asked for when rows are drawn."
        )
    size = config.num_envs * config.num_steps
    return Source(
        spec=spec,
        score=score,
        mixture=mixing.Mixture(
            rollout=size,
            capacity=-(-config.capacity // size) * size,
            length=mixing.per_round(config.round_length, size),
            share=config.expert_share,
            alternate=config.alternate,
            prefill=config.prefill,
        ),
        num=minibatches.updates_per_rollout(size, config.update_ratio),
        size=config.batch_size,
        is_stored=is_stored,
        absorbing=config.absorbing,
        scaled=config.normalise_rewards,
        cloned=config.cloning_batch,
    )
