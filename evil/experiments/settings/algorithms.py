"""Imitation by name: which learner is paid which reward, and what else goes with it.

        learner  reward                          fitted           rows learned from
    airl   PPO   log-odds, of AIRL's form        all the time     its own
    fairl  PPO   odds, for the forward KL        all the time     its own
    gail   PPO   -log(1 - D)                     all the time     its own
    dac    SAC   log-odds, beyond the end too    all the time     its replay
    gmmil  SAC   kernel witness, there too       nothing to fit   its replay
    pwil   SAC   greedy coupling                 before           its replay
    red    SAC   distilled support               before           its replay
    dril   SAC   agreement of clones, there too  before           its replay; it clones besides
    sqil   SAC   label of origin                 nothing to fit   half of each batch the expert's
    adril  SAC   label of origin and round       nothing to fit   every other batch the expert's
    sac    SAC   the real one                    nothing to fit   its replay
    ppo    PPO   the real one                    nothing to fit   its own
    bc     none

Rewards of steps know nothing of who learns from them, so either learner goes with each; labels of a
row's origin mean something in a replay alone.

Reference: arulkumaran2023pragmatic
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from evil import environments
from evil.config import override
from evil.errors import UserError, at_least, unknown
from evil.experiments import clone, recover
from evil.experiments.settings import presets, sizes_sac, tuned
from evil.imitation import irl
from evil.learners import mixing
from evil.rewards import (
    adversarial,
    choice,
    coupling,
    disagreement,
    fixed,
    kernel,
    labels,
    support,
)
from evil.running.session import Session
from evil.seams import Spec


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm in which a learner is paid a reward; its options are fields of the learner."""

    learner: Literal["ppo", "sac"]
    reward: choice.AnyConfig
    learns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    round_length: int = 0  # transitions, to the nearest whole rollout
    is_fitted: bool = False  # as many updates of the reward as of the learner
    recent: int = 0  # rollouts that the reward compares with; 0: the last one
    absorbing: bool = False  # whether ends are paid for as long as the discount looks ahead


METHODS = {
    "adril": Method(
        "sac",
        labels.Config(kind="adril"),
        {"expert_share": 0.5, "alternate": True, "discount": 0.98, "retention": 0.98},
        round_length=1250,
    ),
    "airl": Method(
        "ppo", adversarial.Config(shaped=True, subtract_log_policy=True), is_fitted=True
    ),
    "dac": Method(
        "sac",
        adversarial.Config(),
        {"discount": 0.97, "retention": 0.99, "target_entropy": -0.5},
        is_fitted=True,
        absorbing=True,
    ),
    "dril": Method("sac", disagreement.Config(), {"cloning_batch": 256}, absorbing=True),
    # Where D nears one the reward has no bound of its own. As published it would be "fairl".
    "fairl": Method("ppo", adversarial.Config(reward="ratio", reward_bound=10.0), is_fitted=True),
    "gail": Method("ppo", adversarial.Config(reward="gail"), is_fitted=True),
    # Compared with the whole replay, the witness would be one of all policies so far.
    "gmmil": Method("sac", kernel.Config(), recent=16, absorbing=True),
    "ppo": Method("ppo", fixed.Config()),
    "pwil": Method("sac", coupling.Config()),
    "red": Method("sac", support.Config()),
    "sac": Method("sac", fixed.Config()),
    "sqil": Method("sac", labels.Config(kind="sqil"), {"expert_share": 0.5}),
}
NAMES = ("bc", *METHODS)
# Steps of the published size need the published million of them.
SHORT = {"learning_rate": 1e-3, "weight_decay": 0.1}
# A classifier of norm one tells little apart, and a short run has no time to live on little.
STEEP = {
    "learning_rate": 1e-3, "weight_decay": 0.0, "spectral": False, "gradient_penalty": 10.0,
    "gradient_target": 1.0,
}  # fmt: skip
SMOKE = {
    "adversarial": {"hidden": (16,), "batch_size": 32},
    "disagreement": {"hidden": (16,), "fit_updates": 20, "batch_size": 32},
    "coupling": {"max_rows": 50, "batch_size": 32},
    "support": {"hidden": (16,), "target_hidden": (16, 16), "fit_updates": 20, "batch_size": 32},
    "kernel": {"expert_rows": 64, "batch_size": 32},
}

Study = recover.Config | clone.Config


def imitation(
    algorithm: str,
    env: str,
    preset: str,
    *,
    backend: str | None = None,
    num_demos: int | None = None,
    iterations: int | None = None,
    learner: str | None = None,
    is_tuned: bool = False,
) -> Study:
    """A run of an algorithm on an environment, which ends with the returns of its policies.

    `learner` is ppo or sac, where it is not to be the algorithm's own. If tuned, with the values
    that were found for so many demonstrations.
    """
    if algorithm not in NAMES:
        raise unknown("algorithm", algorithm, NAMES)
    method = None if algorithm == "bc" else METHODS[algorithm]
    if learner is not None:
        method = played_by(algorithm, learner)
        if is_tuned:
            raise UserError("tuned values go with the learner they were found for: no --learner.")
    if is_tuned:
        found = tuned.values(algorithm, num_demos, environments.make(env, backend).spec)
        kind = tuned.ALIASES.get(algorithm, algorithm)
        usual = imitation(
            kind, env, preset, backend=backend, num_demos=num_demos, iterations=iterations
        )
        return as_found(algorithm, usual, found)
    if method is None:
        return cloned(env, preset, backend, num_demos, iterations)
    resolved = presets.resolve(preset)
    if method.learner == "sac" and iterations is None:
        iterations = sizes_sac.imitating(environments.canonical(env), resolved).iterations
    usual = presets.recovery(
        env, resolved, irl_plus=False, recipe="gail", backend=backend, iterations=iterations
    )
    played = on_policy if method.learner == "ppo" else off_policy
    return dataclasses.replace(
        usual,
        method=algorithm,
        recipe="default",
        num_demos=num_demos,
        num_retrained=0,
        bc_iterations=0,
        algorithm=played(method, usual, resolved),
    )


def played_by(algorithm: str, learner: str) -> Method:
    """An algorithm's reward, and a learner by name; UserError where they do not go together."""
    if algorithm not in NAMES:
        raise unknown("algorithm", algorithm, NAMES)
    if learner not in presets.LEARNERS:
        raise unknown("learner", learner, presets.LEARNERS)
    if not goes_with(algorithm, learner):
        raise UserError(f"{algorithm} does not go with --learner {learner}.")
    method = METHODS[algorithm]
    if learner == method.learner:
        return method
    # What else is said of its own learner was found for that one.
    kept = {name: value for name, value in method.learns.items() if name == "cloning_batch"}
    return dataclasses.replace(method, learner=learner, learns=kept)


def goes_with(algorithm: str, learner: str) -> bool:
    """Whether an algorithm can be played with a learner, by their names."""
    method = METHODS.get(algorithm)
    if method is None:
        return False
    is_free = not isinstance(method.reward, (labels.Config, fixed.Config))
    return is_free or method.learner == learner


def as_found(algorithm: str, usual: Study, found: tuned.Values) -> Study:
    """A run with tuned values, reported under the name by which it was asked for."""
    config = tuned.apply(usual, found)
    if isinstance(config, clone.Config):
        return config
    game = config.algorithm
    if METHODS[config.method].absorbing:
        game = beyond_the_end(game)  # by the discount that was found
    return dataclasses.replace(config, method=algorithm, algorithm=game)


def study(config: Study) -> Callable[[Session], dict[str, Any]]:
    """Read and check everything that the run needs; what is returned then carries it out."""
    return clone.study(config) if isinstance(config, clone.Config) else recover.study(config)


def name(config: Study) -> str:
    """The algorithm of a run."""
    return "bc" if isinstance(config, clone.Config) else config.method or "irl"


def cloned(
    env: str,
    preset: str,
    backend: str | None,
    num_demos: int | None,
    iterations: int | None,
) -> clone.Config:
    """Behavioural cloning."""
    usual = presets.cloning(env, preset, backend=backend)
    iterations = usual.iterations if iterations is None else iterations
    at_least(1, iterations=iterations)
    return dataclasses.replace(usual, num_demos=num_demos, iterations=iterations)


def on_policy(method: Method, usual: recover.Config, preset: presets.Preset) -> irl.Config:
    """Proximal policy optimisation and its reward, which is compared with the last rollout."""
    usual_game = usual.algorithm
    learner = dataclasses.replace(usual_game.learner, **method.learns)
    game = dataclasses.replace(usual_game, learner=learner, history="current")
    ours: Any = method.reward
    if not isinstance(ours, adversarial.Config):
        game = dataclasses.replace(game, reward=sized(ours, preset), updates_per_iteration=1)
        return beyond_the_end(game) if method.absorbing else game
    # The usual game is against a classifier: what differs is the form of its reward.
    usual_reward: Any = usual_game.reward
    member = usual_reward.member
    form = ("shaped", "subtract_log_policy", "reward")
    changes = {name: getattr(ours, name) for name in form}
    if not member.embed:
        changes |= {"reward_bound": ours.reward_bound} | ({} if preset == "paper" else SHORT)
    if ours.shaped:
        hidden = {"hidden": member.hidden, "shaping_hidden": member.hidden}
        changes |= hidden | {"absorbing_steps": 0, "shaping_discount": learner.discount}
    game = dataclasses.replace(game, reward=dataclasses.replace(member, **changes))
    return beyond_the_end(game) if method.absorbing else game


def off_policy(method: Method, usual: recover.Config, preset: presets.Preset) -> irl.Config:
    """Soft actor-critic and its reward."""
    chosen = sizes_sac.imitating(usual.env, preset)
    spec = environments.make(usual.env, usual.backend).spec
    learner = dataclasses.replace(chosen.for_iterations(usual.iterations), **_for(method, spec))
    rollout = learner.num_envs * learner.num_steps
    learner = dataclasses.replace(
        learner, round_length=mixing.nearest(method.round_length, rollout)
    )
    reward = sized(method.reward, preset)
    if method.is_fitted and preset != "paper":
        reward = dataclasses.replace(reward, **STEEP)
    if getattr(reward, "shaped", False):
        reward = dataclasses.replace(reward, shaping_discount=learner.discount)
    rows = min(learner.capacity, usual.iterations * rollout) if method.is_fitted else rollout
    game = dataclasses.replace(
        usual.algorithm,
        learner=learner,
        reward=reward,
        updates_per_iteration=round(rollout * learner.update_ratio) if method.is_fitted else 1,
        history="all" if method.is_fitted or method.recent else "current",
        rows_per_iteration=rollout,
        capacity=-(-max(rows, method.recent * rollout) // rollout) * rollout,
    )
    return beyond_the_end(game) if method.absorbing else game


def sized(reward: Any, preset: presets.Preset) -> Any:
    """A reward as it is at a preset."""
    if preset != "smoke":
        return reward
    kind = type(reward).__module__.rpartition(".")[2]
    return dataclasses.replace(reward, **SMOKE.get(kind, {}))


def beyond_the_end(game: irl.Config) -> irl.Config:
    """The game with ends paid for as many steps as its discount counts after them: γ / (1 - γ)."""
    discount = game.learner.discount
    steps = max(1, round(discount / (1.0 - discount)))
    return override(game, {"reward.absorbing_steps": steps})


def _for(method: Method, spec: Spec) -> dict[str, Any]:
    """The options of its learner, where targets of the entropy are those of action vectors."""
    left_out = {"target_entropy"} if spec.is_discrete else set()
    return {name: value for name, value in method.learns.items() if name not in left_out}
