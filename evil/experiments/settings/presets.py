"""Sizes of everything, by environment and by how much time there is.

smoke   seconds: does it run at all
quick   minutes on two CPU cores
paper   the published setting, for an accelerator
auto    paper on an accelerator, quick otherwise
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax

from evil import environments
from evil.errors import at_least, unknown
from evil.experiments import clone, finite, recover, shape
from evil.experiments import dagger as dagger_study
from evil.experiments import expert as experts
from evil.experiments.settings import recipes, sizes_sac
from evil.experiments.settings.sizes import (
    EVOLUTION,
    EXPERTS,
    JUDGED,
    PAPER,
    PAPER_SMALL,
    QUICK,
    SMALL,
    SMOKE,
    Size,
)
from evil.imitation import bc, dagger, irl
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import ensemble, moment_matching, potential
from evil.shaping import evil
from evil.tabular import relent

Preset = Literal["smoke", "quick", "paper"]
PRESETS = ("auto", "smoke", "quick", "paper")
LEARNERS = ("ppo", "sac")


def resolve(preset: str) -> Preset:
    """`auto` by the device that JAX found; UserError for a name that is no preset."""
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    if preset != "auto":
        return preset  # pyright: ignore[reportReturnType]
    return "quick" if jax.default_backend() == "cpu" else "paper"


def size(env: str, preset: Preset) -> Size[ppo.Config]:
    """The learner for an environment, by its canonical name, and its number of iterations."""
    if preset == "smoke":
        learner = dataclasses.replace(QUICK.get(env, Size(SMALL, 0)).learner, **SMOKE)
        return Size(learner, 6)
    table = PAPER if preset == "paper" else QUICK
    return table.get(env) or Size(PAPER_SMALL if preset == "paper" else SMALL, 300)


@dataclasses.dataclass(frozen=True)
class Judging:
    """How much work goes into the reward after each policy update."""

    updates: int
    batch_size: int  # per discriminator
    hidden: tuple[int, ...]
    rows: int  # of each rollout that enter the history


JUDGING: dict[Preset, Judging] = {
    "smoke": Judging(updates=2, batch_size=64, hidden=(32, 32), rows=64),
    "quick": Judging(updates=10, batch_size=1024, hidden=(64, 64), rows=512),
    "paper": Judging(updates=20, batch_size=4096, hidden=(128, 128), rows=500),
}


def recovery(
    env: str,
    preset: str,
    *,
    irl_plus: bool,
    recipe: str = "default",
    backend: str | None = None,
    iterations: int | None = None,
) -> recover.Config:
    """The whole main study for an environment, with schedules made for so many iterations."""
    if recipe not in recipes.RECIPES:
        raise unknown("recipe", recipe, recipes.RECIPES)
    name, resolved = environments.canonical(env), resolve(preset)
    chosen, judging = size(name, resolved), JUDGING[resolved]
    iterations = chosen.iterations if iterations is None else iterations
    at_least(1, iterations=iterations)
    rollout = chosen.learner.num_envs * chosen.learner.num_steps
    rows = min(judging.rows, rollout)
    smoke = resolved == "smoke"
    # Small rollouts need no large batches, where time matters.
    batch = min(judging.batch_size, rollout // 16) if resolved == "quick" else judging.batch_size
    cooked = recipes.RECIPES[recipe]
    decay = max(1, round(cooked.settled * iterations))
    if resolved == "paper" and cooked.paper_decay:
        decay = cooked.paper_decay
    member = dataclasses.replace(cooked.member, hidden=judging.hidden, batch_size=batch)
    if isinstance(member, moment_matching.Config):
        member = dataclasses.replace(member, schedule_updates=decay * judging.updates)
    elif chosen.learner.network.embed:
        member = recipes.TABLE
    return recover.Config(
        env=name,
        irl_plus=irl_plus,
        recipe=recipe,
        preset=resolved,
        backend=backend,
        iterations=iterations,
        chunk=max(1, min(10, iterations // 50)),
        bc_iterations=3 if smoke else 60,
        evaluation_episodes=4 if smoke else 100,
        algorithm=irl.Config(
            learner=chosen.for_iterations(iterations),
            reward=ensemble.Config(member=member, size=5 if irl_plus else 1),
            updates_per_iteration=judging.updates,
            history="all" if irl_plus else "current",
            rows_per_iteration=rows,
            capacity=rows * iterations,
            reset_iterations=iterations,
            population=cooked.population if irl_plus and not smoke else 1,  # seconds to compile
            rejuvenation=-(-iterations // 3),
        ),
        bc=bc.Config(
            # Clones that see little data do better with tanh than with silu; smoke saves a program.
            network=chosen.learner.network
            if smoke
            else dataclasses.replace(chosen.learner.network, activation="tanh"),
            updates_per_iteration=10 if smoke else 100,
            **fitting(chosen.learner.network),
        ),
    )


def fitting(network: actor_critic.Config) -> dict[str, Any]:
    """How labels are fitted: tables need large steps and batches, and nothing to hold them down."""
    table = {"learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 1024}
    return table if network.embed else {}


def cloning(env: str, preset: str, *, backend: str | None = None) -> clone.Config:
    """The main study's baseline on its own."""
    whole = recovery(env, preset, irl_plus=False, backend=backend)
    return clone.Config(
        env=whole.env,
        preset=whole.preset,
        backend=backend,
        iterations=whole.bc_iterations,
        evaluation_episodes=whole.evaluation_episodes,
        bc=whole.bc,
    )


def dagging(env: str, preset: str, *, backend: str | None = None) -> dagger_study.Config:
    """The study of DAgger; a round of `quick` brings a thousand labels, one of `paper` an episode.

    What is published for the locomotion tasks goes for all of them.
    """
    name, resolved = environments.canonical(env), resolve(preset)
    spec = environments.make(name, backend).spec
    smoke = resolved == "smoke"
    if resolved == "paper":
        algorithm = dagger.Config(
            network=actor_critic.Config(activation="relu", normalise_observations=False),
            loss="nll" if spec.is_discrete else "mse",
            restart=False,
            num_judged=10,
        )
    else:
        algorithm = dagger.Config(
            loss="kl",
            # A learner that acts alone from the start fills the aggregate with falls.
            beta="linear",
            beta_rounds=2 if smoke else 10,
            rounds=3 if smoke else 20,
            num_envs=1 if smoke else max(1, 1000 // spec.time_limit),
            num_judged=2 if smoke or name in JUDGED else 4,
            updates_per_round=20 if smoke else 2000,
            batch_size=128,
        )
    network = size(name, resolved).learner.network
    if network.embed:
        algorithm = dataclasses.replace(algorithm, network=network, **fitting(network))
    return dagger_study.Config(
        env=name,
        backend=backend,
        preset=resolved,
        deterministic=resolved == "paper" and not spec.is_discrete,
        evaluation_episodes=4 if smoke else JUDGED.get(name, 100),
        dagger=algorithm,
    )


def evolution(
    env: str, preset: str, *, backend: str | None = None, iterations: int | None = None
) -> shape.Config:
    """The shaping study for an environment: whose learners, for how long, how many."""
    name, resolved = environments.canonical(env), resolve(preset)
    chosen = EVOLUTION[resolved](name, size(name, resolved))
    iterations = chosen.size.iterations if iterations is None else iterations
    at_least(1, iterations=iterations)
    learner = chosen.size.for_iterations(iterations)
    network = learner.network
    clones = cloning(name, resolved, backend=backend)
    return shape.Config(
        env=name,
        backend=backend,
        preset=resolved,
        init=chosen.init,
        bc=clones.bc,
        bc_iterations=clones.iterations,
        generations=chosen.generations,
        num_fresh=2 if resolved == "smoke" else 10,
        evaluation_episodes=4 if resolved == "smoke" else 100,
        algorithm=evil.Config(
            learner=learner,
            potential=potential.Config(hidden=network.hidden, activation=network.activation),
            strategy=chosen.strategy,
            inner_iterations=iterations,
        ),
    )


def finite_world(env: str, method: str, preset: str) -> finite.Config:
    """A tabular method on a finite world."""
    if method not in finite.METHODS:
        raise unknown("tabular method", method, finite.METHODS)
    name, resolved = environments.canonical(env), resolve(preset)
    algorithm = finite.METHODS[method]
    if resolved == "smoke":
        fit = dataclasses.replace(algorithm.fit, updates_per_iteration=2)
        algorithm = dataclasses.replace(algorithm, fit=fit)
        if isinstance(algorithm, relent.Config):
            algorithm = dataclasses.replace(algorithm, num_episodes=16, per_start=4)
    return finite.Config(
        env=name,
        method=method,
        preset=resolved,
        iterations=finite.ITERATIONS[resolved],
        chunk=1 if resolved == "smoke" else 2,
        algorithm=algorithm,
    )


def expert(
    env: str,
    *,
    backend: str | None = None,
    iterations: int | None = None,
    learner: str = "ppo",
) -> experts.Config:
    """How an expert is trained on an environment, with either learner."""
    if learner not in LEARNERS:
        raise unknown("learner", learner, LEARNERS)
    name = environments.canonical(env)
    if learner == "sac":
        chosen = sizes_sac.size(name)
    else:
        usual = size(name, "quick")
        twice = dataclasses.replace(usual, iterations=2 * usual.iterations)
        chosen = EXPERTS.get(name, twice)
    iterations = chosen.iterations if iterations is None else iterations
    at_least(1, iterations=iterations)
    return experts.Config(
        env=name,
        backend=backend,
        iterations=iterations,
        num_seeds=2,
        learner=chosen.for_iterations(iterations),
    )
