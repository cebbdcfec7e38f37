"""Sizes of everything, by environment and by how much time there is.

smoke   seconds: does it run at all
quick   minutes on two CPU cores
paper   the published setting, for an accelerator
auto    paper on an accelerator, quick otherwise
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax

from evil import environments
from evil.errors import at_least, unknown
from evil.experiments import clone, recover
from evil.experiments import expert as experts
from evil.experiments.sizes import EXPERT_ITERATIONS, PAPER, PAPER_SMALL, QUICK, SMALL, SMOKE, Size
from evil.imitation import bc, irl
from evil.rewards import ensemble, moment_matching

Preset = Literal["smoke", "quick", "paper"]
PRESETS = ("auto", "smoke", "quick", "paper")


def resolve(preset: str) -> Preset:
    """`auto` by the device that JAX found; UserError for a name that is no preset."""
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    if preset != "auto":
        return preset  # pyright: ignore[reportReturnType]
    return "quick" if jax.default_backend() == "cpu" else "paper"


def size(env: str, preset: Preset) -> Size:
    """The learner for an environment, by its canonical name, and its number of iterations."""
    if preset == "smoke":
        learner = dataclasses.replace(QUICK.get(env, Size(SMALL, 0)).learner, **SMOKE)
        return Size(learner, 6)
    table = PAPER if preset == "paper" else QUICK
    return table.get(env) or Size(PAPER_SMALL if preset == "paper" else SMALL, 300)


@dataclasses.dataclass(frozen=True)
class Judging:
    """How the reward is fitted after each policy update."""

    updates: int
    batch_size: int  # per discriminator
    hidden: tuple[int, ...]
    decay: int | None  # iterations over which the step size falls; None: the whole run
    learning_rate: float  # of each discriminator, at the start
    penalty: float  # weight of the gradient penalty
    slope: float  # towards which it pulls
    rows: int  # of each rollout that enter the history


JUDGING: dict[Preset, Judging] = {
    "smoke": Judging(2, 64, (32, 32), None, 1e-3, 20.0, 0.1, 64),
    # As published (below), discriminators on hopper are near 0 for every early policy, and the
    # agent stands still on a flat reward for a third of the run. A slope of 0.4 would take f from
    # 0 to 1 within 2.5 standard deviations.
    "quick": Judging(10, 1024, (64, 64), None, 1e-3, 20.0, 0.1, 512),
    "paper": Judging(20, 4096, (128, 128), 400, 4e-3, 10.0, 0.4, 500),
}


def recovery(
    env: str,
    preset: str,
    *,
    irl_plus: bool,
    backend: str | None = None,
    iterations: int | None = None,
) -> recover.Config:
    """The whole main study for an environment; every schedule is as long as the run."""
    name, resolved = environments.canonical(env), resolve(preset)
    chosen, judging = size(name, resolved), JUDGING[resolved]
    iterations = chosen.iterations if iterations is None else iterations
    at_least(1, iterations=iterations)
    rollout = chosen.learner.num_envs * chosen.learner.num_steps
    rows = min(judging.rows, rollout)
    smoke = resolved == "smoke"
    # Small rollouts need no large batches, where time matters.
    batch = min(judging.batch_size, rollout // 16) if resolved == "quick" else judging.batch_size
    member = moment_matching.Config(
        hidden=judging.hidden,
        batch_size=batch,
        gradient_penalty=judging.penalty,
        gradient_target=judging.slope,
        learning_rate=judging.learning_rate,
        final_learning_rate=1e-4 * judging.learning_rate,
        schedule_updates=(judging.decay or iterations) * judging.updates,
    )
    return recover.Config(
        env=name,
        irl_plus=irl_plus,
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
        ),
        bc=bc.Config(network=chosen.learner.network, updates_per_iteration=10 if smoke else 100),
    )


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


def expert(
    env: str, *, backend: str | None = None, iterations: int | None = None
) -> experts.Config:
    """How an expert is trained on an environment."""
    name = environments.canonical(env)
    chosen = size(name, "quick")
    usual = EXPERT_ITERATIONS.get(name, 2 * chosen.iterations)
    iterations = usual if iterations is None else iterations
    at_least(1, iterations=iterations)
    return experts.Config(
        env=name,
        backend=backend,
        iterations=iterations,
        num_seeds=2,
        learner=chosen.for_iterations(iterations),
    )
