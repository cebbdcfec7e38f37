"""Play full episodes with the policies of a run, beside its expert, and film one of them.

    python scripts/evaluate.py runs/hopper-irl --episodes 100 --render hopper.gif
    python scripts/evaluate.py runs/hopper-irl --retrain 10
    python scripts/evaluate.py experts/reacher --episodes 200 --demonstrate more.npz

RUN is a run directory, the folder of an expert, or a policy file; with --retrain a run directory
or a reward file. Nothing is written into it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import jax
import rich.box
import rich.console
import rich.table

from evil import atomic, demonstrations
from evil.errors import UserError
from evil.evaluation import rendering
from evil.evaluation.statistics import interquartile_mean
from evil.experiments import evaluate, expert
from evil.experiments.shared import films, retrained
from evil.running import command, files, progress
from evil.running.session import Session
from evil.seams import Spec


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--episodes", type=int, default=100, help="full episodes per policy")
    parser.add_argument("--seed", type=int, default=0, help="of starts and sampled actions")
    parser.add_argument(
        "--deterministic", action="store_true", help="play the mode rather than sample"
    )
    parser.add_argument("--policy", metavar="NAME", help="only this one, e.g. irl or irl-0")
    parser.add_argument("--lane", type=int, metavar="K", help="only policies of this seed, from 0")
    parser.add_argument(
        "--render",
        type=Path,
        metavar="FILE",
        help=f"film an episode of the best policy: a .html page that plays it anywhere, or a .gif "
        f"of its first {films.GIF_SECONDS:.0f} seconds",
    )
    parser.add_argument(
        "--demonstrate",
        type=Path,
        metavar="FILE",
        help="keep so many other episodes of the best policy as demonstrations, in .npz",
    )
    parser.add_argument(
        "--retrain",
        type=int,
        metavar="K",
        help="train K fresh policies on each recovered reward, beside the real reward and mere "
        "survival, and play those instead",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="iterations of each retraining; default: those of the run",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all numbers as JSON")
    return parser


def main(argv: list[str] | None = None) -> None:
    asked = arguments().parse_args(argv)
    check(asked)
    if asked.retrain is not None:
        retrain(asked)
    else:
        play(asked)


def play(asked: argparse.Namespace) -> None:
    """Play, show and film the policies that are there."""
    found = evaluate.choose(evaluate.find(asked.run), asked.policy, asked.lane)
    loaded = evaluate.load(found, deterministic=asked.deterministic)
    spec = loaded[0].env.spec
    if asked.render:
        rendering.check(spec)
    key_episodes, key_film, key_demos = jax.random.split(jax.random.key(asked.seed), 3)
    played = evaluate.play(loaded, key_episodes, asked.episodes)
    report(asked, spec, played, mode(asked))
    best = max(loaded, key=lambda one: played[one.name].returns.mean())
    if asked.demonstrate:
        demos = expert.collect(best.env, best.policy, key_demos, asked.episodes)
        meta = {"demonstrated_by": f"{asked.run.name}: {best.name}"}
        demonstrations.save(asked.demonstrate, demos, spec, meta)
        print(f"wrote {asked.demonstrate}: {asked.episodes} episodes of {best.name}")
    if asked.render:
        film, total = evaluate.film(best, key_film)
        atomic.write(asked.render, films.encode(film, asked.render.suffix))
        print(f"wrote {asked.render}: {best.name}, an episode with return {total:,.1f}")


def retrain(asked: argparse.Namespace) -> None:
    """Train fresh policies on the rewards that are there, and show what those return."""
    trained = retrained.retrain(
        asked.run,
        Session(progress=progress.choose()),
        per_reward=asked.retrain,
        num_episodes=asked.episodes,
        seed=asked.seed,
        iterations=asked.iterations,
        deterministic=asked.deterministic,
    )
    report(asked, trained.env.spec, trained.played, ", retrained from scratch" + mode(asked))


def mode(asked: argparse.Namespace) -> str:
    return ", playing the mode" if asked.deterministic else ""


def report(
    asked: argparse.Namespace, spec: Spec, played: dict[str, evaluate.Played], how: str
) -> None:
    """Show returns beside those that are known, and write them if asked to."""
    known = evaluate.references(asked.run, spec)
    where = f"{spec.name} {spec.backend}".strip()
    title = f"{where}: true returns of {asked.episodes} full episodes{how}"
    show(title, played, known)
    if asked.out:
        described = {"run": asked.run, "env": spec.name, "backend": spec.backend}
        options = {name: getattr(asked, name) for name in ("episodes", "seed", "deterministic")}
        returns = {f"{name}_return": value for name, value in known.items()}
        policies = {name: one.summary() for name, one in played.items()}
        files.write_json(asked.out, described | options | returns | {"policies": policies})
        print(f"wrote {asked.out}")


def check(asked: argparse.Namespace) -> None:
    """UserError for what would otherwise fail after the episodes were played."""
    if asked.episodes < 1:
        raise UserError(f"--episodes must be 1 or more, found {asked.episodes}.")
    chosen = [
        f"--{name}"
        for name in ("render", "demonstrate", "policy", "lane")
        if vars(asked)[name] is not None
    ]
    if asked.retrain is not None and chosen:
        raise UserError(f"--retrain trains policies of its own: leave out {' and '.join(chosen)}.")
    if asked.retrain is None and asked.iterations is not None:
        raise UserError("--iterations is for --retrain.")
    for name in ("retrain", "iterations"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be 1 or more, found {value}.")
    if asked.render and asked.render.suffix not in (".gif", ".html"):
        raise UserError(f"--render {asked.render}: expected a file name in .gif or .html.")
    if asked.demonstrate and asked.demonstrate.suffix != ".npz":
        raise UserError(f"--demonstrate {asked.demonstrate}: expected a file name in .npz.")
    for name in ("render", "demonstrate", "out"):
        option, path = f"--{name}", getattr(asked, name)
        if path is None:
            continue
        if path.is_dir():
            raise UserError(f"{option} {path}: expected a file, found a folder.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.absolute().parent}.")
        if not os.access(path.absolute().parent, os.W_OK):
            raise UserError(f"{option} {path}: its folder may not be written to.")


def show(title: str, played: dict[str, evaluate.Played], known: dict[str, float]) -> None:
    """A table of true returns."""
    table = rich.table.Table(box=rich.box.SIMPLE, title=title, title_justify="left")
    for heading in ("policy", "mean", "of expert", "std", "min", "max", "length"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for name, title in (("expert", "expert"), ("random", "random actions")):
        if name in known:
            table.add_row(title, f"{known[name]:,.1f}", share(known[name], known))
    for name, one in played.items():
        numbers: dict[str, Any] = one.summary()
        table.add_row(
            name,
            f"{numbers['mean']:,.1f}",
            share(numbers["mean"], known),
            *(f"{numbers[part]:,.1f}" for part in ("std", "min", "max", "mean_length")),
        )
    groups: dict[str, list[float]] = {}
    for name, one in played.items():
        groups.setdefault(name.rpartition("-")[0] or name, []).append(one.returns.mean())
    for group, means in groups.items():
        if len(means) > 1:
            middle = interquartile_mean(means)
            label = f"{group} (IQM)"
            table.add_row(label, f"{middle:,.1f}", share(middle, known))
    rich.console.Console().print(table)


def share(value: float, known: dict[str, float]) -> str:
    """In per cent of the expert's return, where that means something."""
    expert = known.get("expert", 0.0)
    return f"{100 * value / expert:.0f} %" if expert > 0 else ""


if __name__ == "__main__":
    command.main(main)
