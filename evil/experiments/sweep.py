"""A sweep: points of hyper-parameters and numbers of demonstrations, each with several seeds.

    irl     recover a reward, then train fresh policies on it; worth the sum of both returns
    rl      the same learner on the real reward
    bc      behavioural cloning

All points that differ in traced hyper-parameters or in the number of demonstrations are lanes of
one compiled program per phase. The rest of the points falls into groups, one after the other.
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
from evil.evaluation.statistics import interquartile_interval, interquartile_mean
from evil.experiments import measure, recover
from evil.experiments.problem import random_return
from evil.imitation import bc, irl
from evil.learners import alone
from evil.rewards import fixed
from evil.running import files, memory, parts
from evil.running.runner import Outcome, Phase, Session
from evil.running.sweep import Field, Point, locate, points, spread
from evil.seams import Algorithm, Key

# Where the traced fields lie that a sweep of each kind reads.
READ = {"irl": "algorithm.", "rl": "algorithm.learner.", "bc": "bc."}
LEARNER = "algorithm.learner."
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

    @property
    def seeds(self) -> int:
        return self.config.study.num_seeds

    @property
    def key(self) -> Key:
        return jax.random.key(self.config.study.seed)

    def __call__(self, session: Session) -> dict[str, Any]:
        """Run all lanes, play full episodes, and rank the points; returns the summary."""
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        for group in self.groups:
            if session.directory is not None:  # for figures of a sweep that is still under way
                name = f"points-{self.phase_name(self.config.what, group)}.json"
                files.write_json(session.directory.path / name, {"points": group.points})
            found = self.carry_out(group, session)
            outcomes += found[0]
            rows += found[1]
        summary = self.summarise(rows, outcomes)
        if session.directory is not None:
            session.directory.write_summary(summary)
        return summary

    def carry_out(self, group: Group, session: Session) -> tuple[list[Outcome], list[dict]]:
        """The outcomes of a group, and a row of the table for each of its lanes."""
        study, seeds = group.study, self.seeds
        key_bc, key_first, key_again, key_judge = jax.random.split(self.key, 4)
        key_first = key_bc if self.config.what == "bc" else key_first
        limit = self.config.lanes_per_program
        phases = [self.first(group, key_first)]
        cuts = [parts.cut(phases[0], session, limit)]
        outcomes = [cuts[0].run(session)]
        if self.config.what == "irl" and study.config.num_retrained:
            phases.append(self.again(group, outcomes[0], key_again))
            cuts.append(parts.cut(phases[1], session, limit))
            outcomes.append(cuts[1].run(session))
        episodes, mode = study.config.evaluation_episodes, study.config.deterministic
        session.progress.note(f"playing {episodes} full episodes with each policy")
        policies = {
            name: measure.stacked_policy(phase.algorithm.policy, found.states, deterministic=mode)
            for name, phase, found in zip(WORTH, phases, outcomes, strict=False)
        }
        played = measure.returns(study.problem.env, policies, key_judge, episodes)
        lanes = len(group.points) * seeds
        worth = {name: found.reshape(lanes, -1).mean(axis=1) for name, found in played.items()}
        return outcomes, [
            {
                "point": group.points[lane // seeds],
                "seed": lane % seeds,
                **dict(zip(("phase", "lane"), cuts[0].place(lane), strict=True)),
                **{name: float(means[lane]) for name, means in worth.items()},
                "objective": float(sum(means[lane] for means in worth.values())),
            }
            for lane in range(lanes)
        ]

    def first(self, group: Group, key: Key) -> Phase:
        """The game, the learner or the clone, at all points of a group."""
        study, what = group.study, self.config.what
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
        rewards = jax.vmap(study.game.reward)(game.states)
        found = study.retraining(rewards, key)
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
        return what if len(self.groups) == 1 else f"{what}-{group.number}"

    def summarise(self, rows: list[dict[str, Any]], outcomes: list[Outcome]) -> dict[str, Any]:
        """The table of lanes, and the points by rank."""
        config, problem = self.config.study, self.groups[0].study.problem
        steps = sum(found.env_steps_per_s * found.wall_s for found in outcomes)
        finals = np.array([[row["return"]] for row in rows])
        return {
            "env": problem.env.spec.name,
            "backend": problem.env.spec.backend,
            "algorithm": f"sweep of {self.config.what}",
            "preset": config.preset,
            "seed": config.seed,
            "seeds": config.num_seeds,
            "expert_return": problem.expert_return,
            "random_return": random_return(problem, self.key, config.evaluation_episodes),
            "env_steps": int(steps),
            "wall_s": sum(found.wall_s for found in outcomes),
            "compile_s": sum(found.compile_s for found in outcomes),
            "env_steps_per_s": steps / max(sum(found.wall_s for found in outcomes), 1e-9),
            "peak_memory_mb": memory.peak_memory_mb(),
            "final_return": measure.summarise(finals),
            "frozen": [dataclasses.asdict(lane) for found in outcomes for lane in found.frozen],
            "ranking": ranking(rows),
            "lanes": rows,
        }


def ranking(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points by the interquartile mean of their seeds' objectives, the best one first."""
    by_point: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_point.setdefault(json.dumps(row["point"], sort_keys=True), []).append(row)
    found = []
    for own in by_point.values():
        values = [row["objective"] for row in own]
        found.append(
            {
                "point": own[0]["point"],
                "objective": interquartile_mean(values),
                "interval": interquartile_interval([values]),
                "per_seed": values,
            }
        )
    return sorted(found, key=lambda entry: -entry["objective"])


def study(config: Config) -> Sweep:
    """Read and check everything that the sweep needs; call what is returned to carry it out."""
    if config.what not in READ:
        raise unknown("kind of sweep", config.what, READ)
    at_least(1, num_seeds=config.study.num_seeds)
    if not config.sweep:
        raise UserError("nothing is swept: expected --sweep FIELD=VALUES.")
    base = dataclasses.replace(config.study, baselines=False)
    found = points(base, config.sweep, config.num_draws, base.seed)
    fields = [locate(base, path) for path in found[0]]
    traced = [field for field in fields if field.hyper is not None]
    for field in traced:
        if not field.path.startswith(READ[config.what]):
            raise UserError(
                f"{field.path} means nothing to a sweep of {config.what}: expected a field of "
                f"{READ[config.what].rstrip('.')}."
            )
    if NUM_DEMOS in found[0] and config.what == "rl":
        raise UserError("a sweep of rl sees no demonstrations: expected no num_demos in --sweep.")
    lanes = {field.path for field in traced} | {NUM_DEMOS}
    groups: dict[str, list[Point]] = {}
    for point in found:
        static = {path: value for path, value in point.items() if path not in lanes}
        groups.setdefault(json.dumps(static), []).append(point)
    made = []
    for number, (static, own) in enumerate(groups.items()):
        shared = recover.study(_typed(override(base, json.loads(static))))
        for point in own:  # values that are lanes are checked one by one
            one = _typed(override(base, point))
            irl.make(one.algorithm, shared.problem.env)
            bc.make(one.bc, shared.problem.env)
        selections(shared.problem.demos, [point[NUM_DEMOS] for point in own if NUM_DEMOS in point])
        made.append(Group(number, shared, own))
    return Sweep(config, traced, made)


def _typed(config: recover.Config) -> recover.Config:
    """The config, by way of plain data, where types are checked."""
    return from_dict(to_dict(config))
