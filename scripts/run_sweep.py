"""Many hyper-parameters at once: every point of a grid and every seed is a lane of one program.

    python scripts/run_sweep.py --env cartpole --irl_plus --num_seeds 5 \\
        --sweep learner.learning_rate=1e-4,3e-4,1e-3 reward.gradient_penalty=log:0.1:10:3
    python scripts/run_sweep.py --algorithm dac --env hopper --sweep learner.discount=0.97,0.99

Every lane recovers a reward and retrains on it, and is worth the sum of both returns; `--what rl`
and `--what bc` sweep reinforcement learning on the real reward and behavioural cloning. With
`--algorithm` every lane is a run of run_il.py and worth the return of its policy. Values are
given as a,b,c, as lin:a:b:n or log:a:b:n, or drawn with uniform:a:b or loguniform:a:b and
`--num_draws`. All options of run_irl.py say what is the same everywhere. Points that cannot share a
program, because they differ in a size, follow one another, or run as jobs with `--launcher local`,
`submitit` (Slurm) or `ray`.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import jax
import rich.box
import rich.console
import rich.table

import plotting
from evil.errors import UserError
from evil.experiments import clone, finite, recover
from evil.experiments.series import sweep
from evil.experiments.settings import algorithms, presets
from evil.running import command
from scripts import run_il, run_irl

CHOOSING = [*run_irl.CHOOSING, ("--num_demos", {"type": int})]
ASIDE = [("--algorithm", {}), ("--learner", {}), ("--tuned", {"action": "store_true"})]


def default(asked: argparse.Namespace) -> sweep.Config:
    if asked.algorithm is not None:
        return imitation(asked)
    if asked.tuned or asked.learner:
        raise UserError("--tuned and --learner go with an --algorithm, which is not named.")
    whole = run_irl.default(asked)
    return sweep.Config(study=dataclasses.replace(whole, num_seeds=5, num_retrained=1))


def imitation(asked: argparse.Namespace) -> sweep.Config:
    """The sweep of an algorithm by name, which is played and not retrained on."""
    if asked.algorithm in ("dagger", *finite.METHODS):
        raise UserError(
            f"{asked.algorithm} cannot be swept yet: expected one of {', '.join(algorithms.NAMES)}."
        )
    if asked.irl_plus or asked.recipe != "default":
        raise UserError("--irl_plus and --recipe say how a reward is recovered: no --algorithm.")
    found = run_il.default(asked)
    if isinstance(found, recover.Config):
        return sweep.Config(study=dataclasses.replace(found, num_seeds=5))
    return sweep.Config(what="bc", study=cloning(found, run_irl.default(asked)))


def cloning(found: clone.Config, whole: recover.Config) -> recover.Config:
    """The main study whose clones are these."""
    names = {field.name for field in dataclasses.fields(whole)} - {"iterations"}
    shared = {
        field.name: getattr(found, field.name)
        for field in dataclasses.fields(found)
        if field.name in names
    }
    shared |= {"deterministic": found.plays_the_mode, "num_seeds": 5}
    return dataclasses.replace(whole, **shared, bc_iterations=found.iterations)


def main() -> None:
    config, output = command.parse(sweep.Config, __doc__ or "", default, CHOOSING, aside=ASIDE)
    preset = presets.resolve(config.study.preset)
    config = dataclasses.replace(config, study=dataclasses.replace(config.study, preset=preset))
    study = dataclasses.replace(sweep.study(config), job_options=job_options(output))
    groups = len(study.groups)
    lanes = sum(len(group.points) for group in study.groups) * study.seeds
    command.carry_out(
        study,
        config,
        output,
        name=f"{config.study.env}-sweep-{study.swept}",
        draw=plotting.draw_all,
        show=show,
        note=f"preset {preset} on {jax.default_backend()}: {lanes} lanes in "
        f"{groups} compiled program{'s' if groups > 1 else ''} per phase",
    )


def job_options(output: command.Output) -> tuple[str, ...]:
    """What a launcher's jobs are told of this command line."""
    devices = ("--devices", output.devices) if output.devices else ()
    operations = ("--deterministic_ops",) if output.deterministic_ops else ()
    return (*devices, *operations, "--checkpoint_every", str(output.checkpoint_every))


def show(summary: dict[str, Any]) -> None:
    """Points from best to worst."""
    ranking = summary["ranking"]
    table = rich.table.Table(box=rich.box.SIMPLE)
    names = list(ranking[0]["point"])
    for heading in (*names, "objective", "95 % interval", "each seed"):
        table.add_column(heading, justify="right")
    for entry in ranking:
        low, high = entry["interval"]
        table.add_row(
            *[f"{entry['point'][name]:.4g}" if isinstance(entry["point"][name], float)
              else str(entry["point"][name]) for name in names],
            f"{entry['objective']:,.1f}",
            f"{low:,.1f} to {high:,.1f}" if len(entry["per_seed"]) > 1 else "",
            "  ".join(f"{x:,.1f}" for x in entry["per_seed"]),
        )  # fmt: skip
    rich.console.Console().print(table)


if __name__ == "__main__":
    command.main(main, is_shared=True)
