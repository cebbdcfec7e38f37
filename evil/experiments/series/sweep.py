"""A sweep: points of hyper-parameters and numbers of demonstrations, each with several seeds.

    irl     play a game of imitation, then train fresh policies on its reward, unless there are to
            be none; worth the sum of the returns
    rl      the same learner on the real reward
    bc      behavioural cloning

All points that differ in traced hyper-parameters or in the number of demonstrations are lanes of
one compiled program per phase. The rest of the points falls into groups, one after the other, or
as jobs of their own.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro

from evil import registry
from evil.config import from_dict, override, to_dict
from evil.demonstrations import Demonstrations, selection_axes, selections
from evil.errors import UserError, at_least, unknown
from evil.experiments import recover
from evil.experiments.series import launched, ranked
from evil.experiments.shared import measure
from evil.experiments.shared.problem import Problem
from evil.imitation import bc, irl
from evil.learners import alone
from evil.rewards import fixed
from evil.running import parts
from evil.running.runner import Outcome, Phase, Session
from evil.running.sweep import Field, Point, locate, points, spread
from evil.seams import Algorithm, Key

LEARNER = "algorithm.learner."
# What a sweep of each kind reads: where its fields lie, and which others.
READ: dict[str, tuple[str, tuple[str, ...]]] = {
    "irl": ("algorithm.", ("iterations", "subsample", "num_demos")),
    "rl": (LEARNER, ("iterations",)),
    "bc": ("bc.", ("bc_iterations", "subsample", "num_demos")),
}
WORTH = ("return", "retrain_return")  # what the objective adds up
NUM_DEMOS = "num_demos"


@dataclasses.dataclass(frozen=True)
class Config:
    """A sweep."""

    what: Literal["irl", "rl", "bc"] = "irl"
    """What every lane does."""
    sweep: tuple[str, ...] = ()
    """Fields of `study` and their values, such as learner.learning_rate=log:1e-4:1e-2:5."""
    num_draws: int = 0
    """Draws of the fields that have a random range."""
    lanes_per_program: int = 0
    """Lanes that run at once, the others after them; 0: as many as fit into memory."""
    launcher: Literal["", "local", "submitit", "ray"] = ""
    """What runs each group of points that share programs as a job of its own: processes on this
    machine, Slurm by way of submitit, or Ray; default: all in this process, one after the other."""
    launcher_options: tuple[str, ...] = ()
    """Options of submitit's executor or of ray.remote, such as timeout_min=60 gpus_per_node=1."""
    jobs: int = 1
    """Jobs at a time; those on this machine divide its free memory among them."""
    group: int | None = None
    """Only the group of this number, as a job does it."""
    study: Annotated[recover.Config, tyro.conf.arg(name="")] = recover.Config()
    """What is the same at every point; each has as many lanes as this has seeds, and the same."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Points that share compiled programs."""

    number: int
    study: recover.Study  # with the static fields of these points
    points: list[Point]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to begin."""

    config: Config
    traced: list[Field]
    groups: list[Group]
    job_options: tuple[str, ...] = ()  # of the command line of a job

    @property
    def seeds(self) -> int:
        return self.config.study.num_seeds

    @property
    def swept(self) -> str:
        """What every lane does, or the algorithm by which it does so."""
        what, method = self.config.what, self.config.study.method
        return method if what == "irl" and method else what

    @property
    def key(self) -> Key:
        return jax.random.key(self.config.study.seed)

    def __call__(self, session: Session) -> dict[str, Any]:
        """Run all lanes, play full episodes, and rank the points; returns the summary."""
        config, problem = self.config, self.groups[0].study.problem
        if config.launcher:
            numbers = [group.number for group in self.groups]
            found = launched.carry_out(config, numbers, session, self.job_options)
        else:
            found = [self.carry_out(group, session) for group in self.groups]
        summary = ranked.summarise(self.swept, config.study, problem, self.key, found)
        if session.directory is not None:
            session.directory.write_summary(summary)
        return summary

    def carry_out(self, group: Group, session: Session) -> dict[str, Any]:
        """What the lanes of a group were worth, and what they cost, as `ranked` takes it."""
        study, limit = group.study, self.config.lanes_per_program
        key_bc, key_first, key_again, key_judge = jax.random.split(self.key, 4)
        done = [parts.run(self.first(group, key_bc, key_first), session, limit)]
        if self.config.what == "irl" and study.config.num_retrained:
            again = self.again(group, done[0][1], key_again)
            done.append(parts.run(again, session, limit))
        episodes = study.config.evaluation_episodes
        session.progress.note(f"playing {episodes} full episodes with each policy")
        lanes = len(group.points) * self.seeds
        worth = {
            name: played(study, cut, outcome, key_judge).reshape(lanes, -1).mean(axis=1)
            for name, (cut, outcome) in zip(WORTH, done, strict=False)
        }
        broken = {
            entry.lane // (cut.lanes // lanes) for cut, outcome in done for entry in outcome.frozen
        }
        rows = [
            {
                "point": group.points[lane // self.seeds],
                "seed": lane % self.seeds,
                **dict(zip(("phase", "lane"), done[0][0].place(lane), strict=True)),
                **{name: float(means[lane]) for name, means in worth.items()},
                "objective": float(sum(means[lane] for means in worth.values())),
                "frozen": lane in broken,  # judged by its last good state
            }
            for lane in range(lanes)
        ]
        return {
            "lanes": rows,
            "env_steps": sum(outcome.env_steps * cut.lanes for cut, outcome in done),
            "wall_s": sum(outcome.wall_s for _, outcome in done),
            "compile_s": sum(outcome.compile_s for _, outcome in done),
            "predicted_memory_mb": max(cut.predicted_memory_mb for cut, _ in done),
        }

    def first(self, group: Group, key_bc: Key, key: Key) -> Phase:
        """The game, the learner or the clone, at all points of a group."""
        study, what = group.study, self.config.what
        key = key_bc if what == "bc" else key
        algorithm: Algorithm = study.game if what == "irl" else study.cloning
        iterations = study.config.bc_iterations if what == "bc" else study.config.iterations
        data, axes = self.demonstrations(group)
        if what == "rl":
            learner = registry.make(study.config.fresh_learner, study.problem.env, fixed.real())
            algorithm, data, axes = alone.make(learner), (), None
        phase = study.imitating(self.phase_name(what, group), algorithm, key, iterations)
        phase = dataclasses.replace(phase, data=data, data_axes=axes)
        return spread(phase, self.traced, group.points)

    def again(self, group: Group, game: Outcome, key: Key) -> Phase:
        """Fresh policies on the reward of every lane of the game, by the learner of its point."""
        study = group.study
        rewards, players = study.recovered(game.states)
        found = study.retraining(rewards, players, key)
        assert found is not None  # `num_retrained` is not 0
        own = len(group.points)
        phase = dataclasses.replace(
            found.phase,
            name=self.phase_name("retrain", group),
            keys=found.phase.keys[: found.phase.lanes // own],
            groups=(),
        )
        return spread(phase, [x for x in self.traced if x.path.startswith(LEARNER)], group.points)

    def demonstrations(self, group: Group) -> tuple[Demonstrations, Any]:
        """Those of every lane, and their axes: shared, unless their number is swept."""
        demos = group.study.problem.demos
        numbers = [point[NUM_DEMOS] for point in group.points if NUM_DEMOS in point]
        if not numbers:
            return demos, None
        found = selections(demos, np.repeat(numbers, self.seeds).tolist())
        return found, selection_axes()

    def phase_name(self, what: str, group: Group) -> str:
        is_alone = len(self.groups) == 1 and self.config.group is None
        return what if is_alone else f"{what}-{group.number}"


def played(study: recover.Study, cut: parts.Parts, outcome: Outcome, key: Key) -> np.ndarray:
    """Mean returns `[L]` in full episodes, of as many lanes at once as were trained at once."""
    policy = measure.stacked_policy(
        cut.phases[0].algorithm.policy, outcome.states, deterministic=study.config.deterministic
    )
    size, found = cut.phases[0].lanes, []
    for start in range(0, cut.lanes, size):
        some = jax.tree.map(lambda x, start=start: x[start : start + size], policy)
        episodes = study.config.evaluation_episodes
        returns = measure.returns(study.problem.env, {"lanes": some}, key, episodes)["lanes"]
        found.append(returns.mean(axis=1))
    return np.concatenate(found)


def study(config: Config) -> Sweep:
    """Read and check everything that the sweep needs; call what is returned to carry it out."""
    if config.what not in READ:
        raise unknown("kind of sweep", config.what, READ)
    at_least(1, num_seeds=config.study.num_seeds)
    if not config.sweep:
        raise UserError("nothing is swept: expected --sweep FIELD=VALUES.")
    base = dataclasses.replace(config.study, baselines=False)
    at_least(1, jobs=config.jobs)
    launched.check(config)
    found = points(base, config.sweep, config.num_draws, base.seed)
    fields = [locate(base, path) for path in found[0]]
    for field in fields:
        _check_is_read(field, config.what)
    traced = [field for field in fields if field.hyper is not None]
    lanes = {field.path for field in traced} | {NUM_DEMOS}
    if base.shaped and LEARNER + "discount" in lanes:
        raise UserError("critics that shape have one discount: expected to sweep another field.")
    groups: dict[str, list[Point]] = {}
    for point in found:
        static = {path: value for path, value in point.items() if path not in lanes}
        groups.setdefault(json.dumps(static), []).append(point)
    if config.group is not None and not 0 <= config.group < len(groups):
        raise UserError(f"group is {config.group}: there are {len(groups)}, counted from 0.")
    made = []
    for number, (static, own) in enumerate(groups.items()):
        if config.group not in (None, number):
            continue
        shared = recover.study(
            _typed(override(base, json.loads(static))), imitates=config.what != "rl"
        )
        for point in own:  # values that are lanes are checked one by one
            _check_point(_typed(override(base, point)), config.what, shared.problem, point, traced)
        made.append(Group(number, shared, own))
    return Sweep(config, traced, made)


def _check_is_read(field: Field, what: str) -> None:
    prefix, others = READ[what]
    if field.path.startswith(prefix) or field.path in others:
        return
    raise UserError(
        f"{field.path} means nothing to a sweep of {what}: expected a field of "
        f"{prefix.rstrip('.')}, or one of {', '.join(others)}."
    )


def _check_point(
    config: recover.Config, what: str, problem: Problem, point: Point, traced: list[Field]
) -> None:
    for field in traced:
        if isinstance(value := point[field.path], bool) or not isinstance(value, int | float):
            raise UserError(f"{field.path} is {value!r}: expected numbers.")
    if NUM_DEMOS in point:
        if not isinstance(point[NUM_DEMOS], int):
            raise UserError(f"num_demos is {point[NUM_DEMOS]!r}: expected whole numbers.")
        selections(problem.demos, [point[NUM_DEMOS]])
    if what == "irl":
        irl.make(config.algorithm, problem.env)
    elif what == "rl":
        registry.make(config.fresh_learner, problem.env, fixed.real())
    else:
        bc.make(config.bc, problem.env)


def _typed(config: recover.Config) -> recover.Config:
    """The config, by way of plain data, where types are checked."""
    return from_dict(to_dict(config))
