"""Dataset aggregation: the expert labels what the learner sees, and nothing is ever forgotten.

    play   π_i = β_i π_E + (1 - β_i) π_θ         add to D what it sees, as labelled by π_E
    fit    min_θ  E_{(s, y) ~ D}  loss(π_θ(· | s), y)

One `step` is one round. It plays from fresh starts for as long as the environment's time limit, so
that every part of an episode is seen in every round. Beside the episodes that are labelled it
plays some by the learner alone, in the same batch of worlds: their first returns are what
`agent/return` reports of the policy as it was before the round.

Where the expert always acts, the same algorithm clones online: the control at equal labels. That
is a part of the data, not of the config, so that both can be lanes of one compiled program.

Reference: ross2011dagger
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise
from evil.demonstrations.demonstrations import Demonstrations, actions_for, transitions
from evil.environments import episodes
from evil.errors import UserError, fields_at_least, unknown
from evil.imitation import aggregate, cloning, labelling, mixture
from evil.learners import policies
from evil.networks import actor_critic
from evil.pytrees import merge_leading, pytree, traced
from evil.seams import Algorithm, Environment, Key, Metrics, Policy, PyTree, Spec

LOSSES = (*cloning.OF_ACTIONS, *cloning.OF_DISTRIBUTIONS)
CHOICES = {
    "beta": ("zero", "first", "geometric", "linear"),
    "mixing": ("step", "trajectory"),
    "warm_start": ("none", "bc"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Dataset aggregation (DAgger)."""

    network: actor_critic.Config = actor_critic.Config()
    """The actor; its critic is neither used nor changed."""
    loss: Literal["nll", "mse", "cross_entropy", "kl"] = "nll"
    """Of the expert's action: likelihood, or the mode's squared error. Of its distribution:
    cross-entropy (discrete actions), or the divergence from it."""
    rounds: int = 20
    """Rounds for whose labels there is room; what later ones would add is dropped."""
    num_envs: int = 1
    """Environments labelled side by side in one round, each for one time limit."""
    restart: bool = True
    """Whether another episode begins where one ends before the time limit, so that every round
    brings as many labels; otherwise a round has one trajectory per environment."""
    num_judged: int = 2
    """Episodes that the learner plays alone in every round, to estimate its return."""
    num_starts: int = 64
    """Fresh episode starts drawn per round."""
    beta: Literal["zero", "first", "geometric", "linear"] = "zero"
    """Probability β_i that the expert acts in round i = 0, 1, ...: 0 always; 1 in the first round
    alone; p^i; or 1 - i/n."""
    beta_decay: float = 0.5
    """p of a geometric β. Traced."""
    beta_rounds: int = 10
    """n of a linear β, the round from which on it is 0."""
    mixing: Literal["step", "trajectory"] = "step"
    """Whether who acts is drawn anew at every step or at every start of an episode."""
    warm_start: Literal["none", "bc"] = "none"
    """Whether the policy begins as a clone of demonstrations, which stay in the aggregate."""
    warm_updates: int = 1000
    """Gradient updates of a warm start."""
    updates_per_round: int = 1000
    """Gradient updates after each round, on the whole aggregate."""
    batch_size: int = 64
    """Rows in one gradient update, drawn with replacement."""
    learning_rate: float = 1e-3
    """AdamW's step size. Traced."""
    weight_decay: float = 0.0
    """AdamW's decay of the actor's weight matrices per unit of step size. Traced."""


@pytree
class Data:
    """What stays fixed during a run."""

    expert: PyTree  # the parameters of the policy that labels
    expert_acts: Array  # [] bool: β is 1 in every round, which is online cloning
    demos: Demonstrations | None = None  # of a warm start
    physics: PyTree = None  # environment parameters; None: the environment's own


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    beta_decay: Array
    learning_rate: Array
    weight_decay: Array


@pytree
class State:
    """The learner between rounds."""

    network: PyTree
    optimiser: optax.OptState
    obs_moments: normalise.Moments  # of the aggregate
    aggregate: aggregate.Aggregate  # rows {"obs", "label"}
    hyper: Hyper
    round: Array  # [] int32
    key: Key


def beta(config: Config, decay: Array, round_index: Array) -> Array:
    """Probability that the expert acts in a round, counted from 0."""
    if config.beta == "geometric":
        return decay**round_index
    if config.beta == "linear":
        return jnp.maximum(1.0 - round_index / config.beta_rounds, 0.0)
    return jnp.where(round_index == 0, 1.0 if config.beta == "first" else 0.0, 0.0)


def make(
    config: Config, env: Environment, expert: Policy, outputs: policies.Outputs | None = None
) -> Algorithm:
    """Bind DAgger to an environment and to the form of an expert; `data` is `Data`.

    `outputs(params, obs)` is what the expert's distribution is made of, for losses that compare
    distributions; it must be of the family of the learner's. Of `expert.params` only the shapes
    matter here.
    """
    _check(config, env.spec)
    module = actor_critic.make(config.network, env.spec)
    action = labelling.actions(expert, env.spec)
    if config.loss in cloning.OF_DISTRIBUTIONS:
        labelling.check_distribution(config.loss, env.spec, module, expert, outputs)
    greedy = policies.make(config.network, module, deterministic=True)
    # Squared errors leave the log standard deviation at its initial value, which means nothing.
    stochastic = policies.make(config.network, module, deterministic=config.loss == "mse")

    def label(params: PyTree, obs: Array, action: Array) -> PyTree:
        if config.loss in cloning.OF_ACTIONS:
            return action
        assert outputs is not None  # it was checked above
        return outputs(params, obs)

    def losses(network: PyTree, moments: normalise.Moments, rows: PyTree) -> Array:
        return cloning.losses(
            network, module, env.spec, config, moments, rows["obs"], rows["label"]
        )

    def learn(state: State, key: Key, rows: PyTree, mask: Array, updates: int):
        """The state with more rows in the aggregate, fitted to all of them, and the mean loss."""
        whole = aggregate.append(state.aggregate, rows, mask)
        moments = cloning.moments(normalise.of_rows(whole.rows["obs"], whole.count))

        def loss(network: PyTree, key: Key) -> Array:
            batch = aggregate.sample(key, whole, config.batch_size)
            return losses(network, moments, batch).mean()

        transform = cloning.optimiser(state.hyper.learning_rate, state.hyper.weight_decay)
        network, opt_state, value = cloning.fit(
            key, transform, state.network, state.optimiser, loss, updates
        )
        state = dataclasses.replace(
            state, network=network, optimiser=opt_state, obs_moments=moments, aggregate=whole
        )
        return state, value

    def init(key: Key, data: Data) -> State:
        key_network, key_warm, key = jax.random.split(key, 3)
        hyper = traced(Hyper, config)
        network = module.init(key_network, jnp.zeros((1, *env.spec.obs_shape)))
        obs = jax.ShapeDtypeStruct((1, *env.spec.obs_shape), jnp.float32)
        row = {"obs": obs, "label": jax.eval_shape(label, data.expert, obs, action)}
        row = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), row)
        demonstrated = _demonstrated(config, data)
        room = 0 if demonstrated is None else demonstrated.rows.shape[0]
        capacity = config.rounds * config.num_envs * env.spec.time_limit + room
        state = State(
            network=network,
            optimiser=cloning.optimiser(hyper.learning_rate, hyper.weight_decay).init(network),
            obs_moments=normalise.init(env.spec.obs_shape),
            aggregate=aggregate.init(row, capacity),
            hyper=hyper,
            round=jnp.zeros((), jnp.int32),
            key=key,
        )
        if demonstrated is None:
            return state
        steps = transitions(demonstrated, demonstrated.rows)
        rows = {"obs": steps.obs, "label": label(data.expert, steps.obs, steps.action)}
        mask = jnp.arange(room) < demonstrated.count
        return learn(state, key_warm, rows, mask, config.warm_updates)[0]

    def step(state: State, data: Data) -> tuple[State, Metrics]:
        key_play, key_fit, key = jax.random.split(state.key, 3)
        physics = env.params if data.physics is None else data.physics
        chance = beta(config, state.hyper.beta_decay, state.round)
        chance = jnp.where(data.expert_acts, 1.0, chance)
        teacher = dataclasses.replace(expert, params=data.expert)
        played = mixture.play(
            env,
            teacher,
            policy(state),
            key_play,
            chance,
            physics,
            num_envs=config.num_envs,
            num_alone=config.num_judged,
            num_starts=config.num_starts,
            whole_trajectories=config.mixing == "trajectory",
        )
        seen = merge_leading(played.seen)
        rows = {"obs": seen.obs, "label": label(data.expert, seen.obs, seen.label)}
        mask = jnp.ones_like(seen.is_first) if config.restart else seen.is_first
        surprise = losses(state.network, state.obs_moments, rows)
        learned, value = learn(state, key_fit, rows, mask, config.updates_per_round)
        metrics = {
            "agent/return": played.returns.mean(),
            "agent/length": played.lengths.mean(),
            "clone/labels": state.obs_moments.count,  # from which the acting policy has learned
            "clone/beta": chance,
            "clone/online_loss": jnp.where(mask, surprise, 0.0).sum() / mask.sum(),
            "clone/loss": value,
        }
        return dataclasses.replace(learned, round=state.round + 1, key=key), metrics

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        params = {"network": state.network, "obs_moments": state.obs_moments}
        return dataclasses.replace(greedy if deterministic else stochastic, params=params)

    return Algorithm(
        init=init,
        step=step,
        policy=policy,
        reward=lambda state: (),
        steps_per_iteration=config.num_envs * env.spec.time_limit,
        parts=episodes.parts(env.spec, config.num_envs),
    )


def _demonstrated(config: Config, data: Data) -> Demonstrations | None:
    if config.warm_start == "none":
        return None
    if data.demos is None:
        raise UserError("a warm start by bc needs demonstrations, found none.")
    actions_for(data.demos, "a warm start")
    return data.demos


def _check(config: Config, spec: Spec) -> None:
    cloning.check(config, spec, LOSSES)
    for name, known in CHOICES.items():
        if getattr(config, name) not in known:
            raise unknown(name, getattr(config, name), known)
    counts = ("rounds", "num_envs", "num_judged", "num_starts", "beta_rounds", "batch_size")
    fields_at_least(1, config, *counts, "warm_updates", "updates_per_round")
    if not 0.0 <= config.beta_decay <= 1.0:
        raise UserError(f"beta_decay must lie between 0 and 1, found {config.beta_decay}")
