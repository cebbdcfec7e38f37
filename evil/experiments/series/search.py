"""Search for hyper-parameters by Optuna: trials in batches, each batch in few compiled programs.

    ask a batch ─► its trials as lanes, environment by environment ─► tell what each was worth

A trial is worth the area under its normalised learning curve on the environment where that is
least. The trials of a batch share the values that are part of a program, unless asked not to, and
differ in the rest. Trials lie in a database, in the run directory unless it says where: several
processes, each with a run directory and a seed of its own, can share one.

Reference: akiba2019optuna, arulkumaran2023pragmatic
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evil import environments
from evil.config import override
from evil.errors import UserError, at_least
from evil.experiments.series import trials
from evil.experiments.settings import algorithms, presets, spaces
from evil.experiments.shared.problem import random_return, read_problem
from evil.running import memory
from evil.running.session import Session
from evil.running.sweep import Point, locate

DATABASE = "search.db"
RUN = "run"  # the attribute of a trial that says whose it is


@dataclasses.dataclass(frozen=True)
class Config:
    """A search for hyper-parameters."""

    algorithm: str = "dac"
    """Algorithm by name, as for run_il.py: adril, bc, dac, dril, gmmil, pwil, red, sac or sqil."""
    envs: tuple[str, ...] = ("hopper", "pendulum")
    """Environments; a trial is worth what it is on the worst."""
    num_demos: int = 10
    """Demonstrated episodes."""
    num_trials: int = 30
    """Trials in the database after which the search is over."""
    batch: int = 5
    """Trials that are asked for, and run, at once."""
    share: bool = True
    """Whether the trials of a batch share the values that are part of a compiled program."""
    num_seeds: int = 1
    """Policies that each trial trains on each environment."""
    iterations: int | None = None
    """Iterations of each; default: those of the preset."""
    evaluations: int = 10
    """How often a policy is judged along the way."""
    evaluation_episodes: int = 10
    """Full episodes by which it is."""
    preset: str = "auto"
    """Sizes of everything, as for run_il.py."""
    seed: int = 1
    """Seed of everything random; processes that share a database need different ones."""
    storage: str | None = None
    """Optuna's address of the database, like sqlite:///search.db; default: in the run directory."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A search that is ready to begin."""

    config: Config
    bases: list[algorithms.Study]  # one per environment
    scales: list[trials.Scale]
    space: spaces.Space

    @property
    def name(self) -> str:
        """The study in the database: searches for the same thing go on together."""
        config = self.config
        places = "+".join(base.env for base in self.bases)
        return f"{config.algorithm}-{config.num_demos}-{places}"

    def __call__(self, session: Session) -> dict[str, Any]:
        """Run trials until the database has enough; returns the summary."""
        assert session.directory is not None
        path, config = session.directory.path, self.config
        with quietly():
            study = self.open(path)
            # What this run had begun before it was stopped can never be told otherwise.
            for trial in unfinished(study, path):
                fail(study, trial.number)
            while (missing := config.num_trials - begun(study)) > 0:
                asked = self.ask(study, min(config.batch, missing), path)
                try:
                    self.judge(study, asked, session)
                finally:
                    for trial in unfinished(study, path):
                        fail(study, trial.number)
            summary = self.summarise(study)
        session.directory.write_summary(summary)
        return summary

    def open(self, path: Path) -> Any:
        """The study in its database."""
        optuna = _optuna()
        seen = self.config.storage or f"sqlite:///{path / DATABASE}"
        try:
            study = optuna.create_study(
                study_name=self.name, storage=seen, direction="maximize", load_if_exists=True
            )
        except Exception as error:  # of whichever driver the address names
            raise UserError(f"--storage {seen}: no database could be opened ({error}).") from error
        study.sampler = optuna.samplers.TPESampler(
            seed=self.config.seed + len(study.trials), constant_liar=True
        )
        return study

    def distributions(self) -> dict[str, Any]:
        """The space as Optuna has it: choices are JSON."""
        made = _optuna().distributions
        found = {}
        for path, place in self.space.items():
            if isinstance(place, spaces.OneOf):
                found[path] = made.CategoricalDistribution([json.dumps(x) for x in place.values])
            elif place.whole:
                found[path] = made.IntDistribution(int(place.low), int(place.high))
            else:
                found[path] = made.FloatDistribution(place.low, place.high)
        return found

    def ask(self, study: Any, count: int, path: Path) -> list[Any]:
        """Trials to run at once."""
        free, made = study.sampler, self.distributions()
        asked = [study.ask(made)]
        if self.config.share:
            base = self.bases[0]
            static = {
                name: value
                for name, value in asked[0].params.items()
                if locate(base, name).hyper is None
            }
            study.sampler = _optuna().samplers.PartialFixedSampler(static, free)
        asked += [study.ask(made) for _ in range(count - 1)]
        study.sampler = free
        for trial in asked:
            trial.set_user_attr(RUN, str(path))
        return asked

    def point(self, params: dict[str, Any]) -> Point:
        """Fields and values of a trial."""
        found: Point = {}
        for path, place in self.space.items():
            is_text = isinstance(place, spaces.OneOf)
            value = json.loads(params[path]) if is_text else params[path]
            found |= dict.fromkeys((path, *place.also), value)
        return found

    def judge(self, study: Any, asked: list[Any], session: Session) -> None:
        """Run trials on all environments, and tell what they were worth."""
        points = [self.point(trial.params) for trial in asked]
        # A batch that is stopped is given up: its states need no checkpoints.
        unsaved = dataclasses.replace(session, directory=None)
        worth = {}
        for base, scale in zip(self.bases, self.scales, strict=True):
            name = f"{asked[0].number}-{base.env}"
            session.progress.note(f"trials {', '.join(str(x.number) for x in asked)}: {base.env}")
            worth[base.env] = trials.areas(name, base, points, scale, unsaved).mean(axis=1)
        for index, trial in enumerate(asked):
            each = {env: float(found[index]) for env, found in worth.items()}
            trial.set_user_attr("worth", each)
            study.tell(trial, min(each.values()))
            session.progress.note(f"trial {trial.number}: {min(each.values()):.3f}")

    def summarise(self, study: Any) -> dict[str, Any]:
        """All trials that were finished, the best, and which fields mattered."""
        done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        if not done:
            raise UserError("no trial was finished: expected num_trials of 1 or more.")
        best = max(done, key=lambda trial: trial.value)
        return {
            "env": " and ".join(base.env for base in self.bases),
            "backend": "",
            "algorithm": f"search for {self.config.algorithm}",
            "seed": self.config.seed,
            "seeds": self.config.num_seeds,
            "peak_memory_mb": memory.peak_memory_mb(),
            "trials": [
                {
                    "number": trial.number,
                    "value": trial.value,
                    "worth": trial.user_attrs.get("worth", {}),
                    "point": self.point(trial.params),
                }
                for trial in done
            ],
            "best": {"number": best.number, "value": best.value, "point": self.point(best.params)},
            "importance": importance(study, done),
        }


def study(config: Config) -> Search:
    """Read and check everything that the search needs."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError("a search needs the optuna package: pip install 'evil[search]'")
    at_least(1, num_trials=config.num_trials, batch=config.batch, num_seeds=config.num_seeds)
    at_least(1, evaluations=config.evaluations, evaluation_episodes=config.evaluation_episodes)
    if not config.envs:
        raise UserError("no environment is named: expected --envs NAME ...")
    specs = [environments.make(env).spec for env in config.envs]
    space = spaces.of(config.algorithm, specs)
    bases, scales = [], []
    for env in config.envs:
        usual = algorithms.imitation(
            config.algorithm,
            env,
            presets.resolve(config.preset),
            num_demos=config.num_demos,
            iterations=config.iterations,
        )
        changes = {"seed": config.seed, "num_seeds": config.num_seeds, "chunk": 1}
        base = override(usual, changes | spaces.FIXED.get(config.algorithm, {}))
        for path, place in space.items():
            for name in (path, *place.also):
                locate(base, name)
        problem = read_problem(base)
        if problem.expert_return is None:
            raise UserError(f"the demonstrations of {env} have no rewards to be measured by.")
        scale = trials.Scale(
            random=random_return(problem, jax.random.key(config.seed), config.evaluation_episodes),
            expert=problem.expert_return,
            evaluations=config.evaluations,
            episodes=config.evaluation_episodes,
        )
        trials.stretch(env, base, scale)
        bases.append(base)
        scales.append(scale)
    return Search(config, bases, scales, space)


def begun(study: Any) -> int:
    """Trials that are finished or that somebody is at."""
    return sum(trial.state.name in ("COMPLETE", "RUNNING") for trial in study.trials)


def unfinished(study: Any, path: Path) -> list[Any]:
    """Trials that a run has begun and not finished."""
    return [
        trial
        for trial in study.trials
        if trial.state.name == "RUNNING" and trial.user_attrs.get(RUN) == str(path)
    ]


def fail(study: Any, number: int) -> None:
    """Give a trial up."""
    study.tell(number, state=_optuna().trial.TrialState.FAIL)


def importance(study: Any, done: list[Any]) -> dict[str, float]:
    """Share of each field in what tells good trials from others; nothing of a few trials."""
    values = np.array([trial.value for trial in done])
    if len(done) < 4 or values.std() < 1e-12:
        return {}
    found = _optuna().importance
    return dict(found.get_param_importances(study, evaluator=found.PedAnovaImportanceEvaluator()))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what Optuna has to say of each trial, and of parts of it that may yet change."""
    optuna = _optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _optuna() -> Any:
    import optuna

    return optuna
