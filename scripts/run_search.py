"""Search for the hyper-parameters of an imitation algorithm, with Optuna.

    python scripts/run_search.py --algorithm pwil --envs hopper pendulum --num_trials 30

What is varied are the published search spaces. Trials of a batch that differ in traced fields
alone are lanes of one compiled program, and a trial is worth the area under its learning curve on
the environment where that is least. Stopped, it goes on with --resume RUN. For several processes on
one search give each the same --storage, such as sqlite:////shared/search.db, and a --seed of its
own.
"""

from __future__ import annotations

from typing import Any

import jax
import rich.box
import rich.console
import rich.table

import plotting
from evil.experiments.series import search
from evil.experiments.settings import presets
from evil.running import command

SHOWN = 10  # trials, the best ones


def main() -> None:
    config, output = command.parse(search.Config, __doc__ or "", lambda asked: search.Config(), [])
    command.carry_out(
        search.study(config),
        config,
        output,
        name=f"search-{config.algorithm}",
        draw=plotting.draw_all,
        show=show,
        note=f"preset {presets.resolve(config.preset)} on {jax.default_backend()}",
    )


def show(summary: dict[str, Any]) -> None:
    """The best trials, and the best one's values."""
    found = sorted(summary["trials"], key=lambda trial: -trial["value"])
    table = rich.table.Table(box=rich.box.SIMPLE)
    envs = list(found[0]["worth"])
    for heading in ("trial", "worth", *envs):
        table.add_column(heading, justify="right")
    for trial in found[:SHOWN]:
        each = [f"{trial['worth'][env]:.3f}" if env in trial["worth"] else "" for env in envs]
        table.add_row(str(trial["number"]), f"{trial['value']:.3f}", *each)
    best = rich.table.Table(box=rich.box.SIMPLE)
    for heading in ("field", "of the best", "importance"):
        best.add_column(heading, justify="left" if heading == "field" else "right")
    for path, value in found[0]["point"].items():
        share = summary["importance"].get(path)
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        best.add_row(path, text, "" if share is None else f"{100 * share:.0f} %")
    console = rich.console.Console()
    console.print(table)
    console.print(best)


if __name__ == "__main__":
    command.main(main)
