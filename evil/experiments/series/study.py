"""What makes a recovered reward retrain a policy: recipes side by side, one run directory each.

A row is a recipe: the main study's config with a few fields changed. Its run lies at
`<out>/<env>/<row>/`, so a study that was stopped goes on where it was, and a row added later costs
only itself. Rows that differ in traced hyper-parameters alone share their compiled programs
through the cache on disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from evil import environments
from evil.config import from_dict, override
from evil.demonstrations import catalogue
from evil.errors import UserError, at_least, unknown
from evil.evaluation import distances
from evil.evaluation.statistics import interquartile_mean
from evil.experiments import recover
from evil.experiments.series import cells
from evil.experiments.settings import presets
from evil.experiments.settings.recipes import ROWS, Row
from evil.experiments.shared import artefacts
from evil.running import files
from evil.running.directory import RunDirectory, versions
from evil.seams import Environment, PyTree, Score, Transition

TABLE = "table.json"
BASELINE = "default"  # the row whose runs also train on the real reward and on survival, and clone


@dataclasses.dataclass(frozen=True)
class Config:
    """A study of recipes."""

    envs: tuple[str, ...] = ("hopper",)
    """Environments."""
    rows: tuple[str, ...] = ()
    """Recipes by name; default: all."""
    preset: str = "auto"
    """Sizes of everything, as for run_irl.py."""
    backend: str | None = None
    """Physics backend of Brax environments: positional (default), spring, generalized or mjx."""
    seed: int = 1
    """Seed of everything random."""
    num_seeds: int = 3
    """Rewards recovered by each recipe."""
    num_retrained: int = 5
    """Fresh policies trained on each reward."""
    iterations: int | None = None
    """Iterations of each game and of each retraining; default: those of the preset."""
    out: str = "runs/retraining"
    """Folder of the study; runs that it holds already are not repeated."""


def chosen(names: tuple[str, ...]) -> list[Row]:
    """Rows by name; all for no names."""
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise unknown("recipe", name, known)
    return [known[name] for name in names or known]


def config_of(config: Config, env: str, row: Row) -> recover.Config:
    """The main study's config for a recipe on an environment."""
    at_least(1, num_seeds=config.num_seeds, num_retrained=config.num_retrained)
    usual = presets.recovery(
        env,
        config.preset,
        irl_plus=True,
        recipe=row.recipe,
        backend=config.backend,
        iterations=config.iterations,
    )
    compared = row.name == BASELINE
    return override(
        usual,
        dict(row.changes)
        | {
            "seed": config.seed,
            "num_seeds": config.num_seeds,
            "num_retrained": config.num_retrained,
            "baselines": compared,
            "bc_iterations": usual.bc_iterations if compared else 0,
        },
    )


def carry_out(config: Config) -> Path:
    """Run what is missing and write the table of all that is there; returns its path."""
    if not config.envs:
        raise UserError("no environment is named: expected --envs NAME ...")
    out = Path(config.out).expanduser().absolute()
    asked = [
        (environments.canonical(env), row) for env in config.envs for row in chosen(config.rows)
    ]
    # Everything is checked before anything runs.
    planned = [
        (env, row, out / env / row.name, config_of(config, env, row))
        for env, row in with_finished(asked, out)
    ]
    for _, _, path, wanted in planned:
        cells.check(path, wanted)
    for env, row, path, wanted in planned:
        if not cells.is_finished(path):
            run_row(f"{env}: {row.name}, {row.why}", path, wanted)
    table = [line(env, row, path) for env, row, path, _ in planned]
    for env in dict.fromkeys(env for env, *_ in planned):
        rows = [entry for entry in table if entry["env"] == env]
        add_distances(rows, environments.make(env, config.backend), out / env)
    files.write_json(out / TABLE, {"versions": versions(), "rows": table})
    return out / TABLE


def with_finished(asked: Sequence[tuple[str, Row]], out: Path) -> list[tuple[str, Row]]:
    """What is asked for and what earlier commands have finished, environment by environment."""
    finished = {(path.parts[-3], path.parts[-2]) for path in sorted(out.glob("*/*/summary.json"))}
    wanted = {(env, row.name) for env, row in asked} | finished
    envs = dict.fromkeys([env for env, _ in asked] + sorted(env for env, _ in finished))
    return [(env, row) for env in envs for row in chosen(()) if (env, row.name) in wanted]


def run_row(title: str, path: Path, wanted: recover.Config) -> None:
    """The main study in its own directory, begun or continued."""
    cells.carry_out(title, path, wanted, recover.study(wanted))


def line(env: str, row: Row, path: Path) -> dict[str, Any]:
    """What one run says, and how it was made, for the table."""
    directory = RunDirectory.open(path)
    summary, made = directory.read_summary(), directory.read_config()
    under = summary["under_recovered_reward"]
    returns = {
        name: summary.get(f"{name}_return", {}).get("per_seed")
        for name in ("final", "retrain", "rl", "survival")
    }
    return {
        "env": env,
        "row": row.name,
        "why": row.why,
        "made": {name: made[name] for name in ("preset", "seed", "num_seeds", "iterations")},
        "expert": summary["expert_return"],
        "irl": returns["final"],
        "retrain": returns["retrain"],
        "retrain_iqm": interquartile_mean(returns["retrain"] or []),
        "rl": returns["rl"],
        "survival": returns["survival"],
        "recovered": {name: under[name]["mean"] for name in ("expert", "irl", "retrain")},
        "correlation": summary.get("landmark_correlation", {}).get("together"),
        "env_steps": summary["env_steps"],
        "wall_s": summary["wall_s"],
        "compile_s": summary["compile_s"],
    }


def add_distances(table: Sequence[dict[str, Any]], env: Environment, folder: Path) -> None:
    """The mean EPIC distance of each row's rewards to the real one, over their seeds.

    Coverage: the first 64 steps of the shipped expert and of random actions, in 64 worlds. Kept
    beside each run.
    """
    missing = [entry for entry in table if not (folder / entry["row"] / "epic.json").is_file()]
    if missing:
        place = catalogue.directory(env.spec.name, env.spec.backend) / catalogue.POLICY
        _, expert = artefacts.load_policy(place)
        probe = jax.jit(lambda key: distances.explore(env, [expert], key))(jax.random.key(0))
        for entry in missing:
            run = folder / entry["row"]
            config: Any = from_dict(RunDirectory.open(run).read_config())
            found = [
                epic(file, probe, config.algorithm.learner.discount)
                for file in sorted((run / "reward").glob("*.safetensors"))
            ]
            files.write_json(run / "epic.json", {"epic": found})
    for entry in table:
        found = files.read_json(folder / entry["row"] / "epic.json")["epic"]
        entry["epic"] = sum(found) / len(found)


def epic(file: Path, probe: distances.Probe, discount: float) -> float:
    """Distance of the reward in a file to the environment's own."""
    _, model, params = artefacts.load_reward(file)
    score: Score = model.score

    def measure(params: PyTree, probe: distances.Probe) -> jax.Array:
        def recovered(steps: Transition) -> jax.Array:
            return score.apply(params, score.memory(1), steps)[0]

        return distances.epic(lambda steps: steps.reward, recovered, probe, discount=discount)

    return float(jax.jit(measure)(params, probe))
