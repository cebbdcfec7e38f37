"""Measure imitation algorithms on the same demonstrations, environment steps and seeds.

    python scripts/benchmark_il.py --envs hopper pendulum --env_steps 256000 76800

All algorithms of run_il.py, or those that are named, each as a run of its own under --out; beside
them random actions, and a learner that is paid for surviving. A benchmark that was stopped goes on
where it was when the same command is given again. At the end: one table, one figure and, in
table.json, all that they show.
"""

from __future__ import annotations

import json
from typing import Any

import rich.box
import rich.console
import rich.table
import tyro

from evil import atomic
from evil.experiments.series import league
from evil.running import command
from plotting import league as figures

WIDTH = 118  # of the table, in characters


def main() -> None:
    config = tyro.cli(league.Config, description=__doc__)
    report(config)


def report(config: league.Config) -> None:
    """Carry a league out, show its table and draw its figure."""
    path = league.carry_out(config)
    show(json.loads(path.read_text())["rows"])
    with atomic.explained("draw the figures of", path.parent):
        print(f"wrote {path} and {figures.draw(path.parent)}")


def show(rows: list[dict[str, Any]]) -> None:
    """By environment, the best first."""
    table = rich.table.Table(box=rich.box.SIMPLE)
    headings = ("env", "algorithm", "learner", "return", "% of expert", "95 % interval",
                "each seed", "env steps", "updates", "minutes")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:3] else "right")
    envs = list(dict.fromkeys(row["env"] for row in rows))
    for row in sorted(rows, key=lambda row: (envs.index(row["env"]), -row["mean"])):
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["env"],
            row["algorithm"] + "*" * (row["frozen"] > 0),
            row["learner"].upper(),
            f"{sum(row['returns']) / len(row['returns']):,.1f}",
            f"{row['mean']:.0f}",
            "" if low is None else f"{low:.0f} to {high:.0f}",
            "  ".join(f"{value:.0f}" for value in row["percent"]),
            f"{row['env_steps']:,}",
            f"{row['updates']:,}",
            f"{(row['wall_s'] + row['compile_s']) / 60:.1f}",
        )
    console = rich.console.Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
    if any(row["expert"] < 0 or row["random"] < 0 for row in rows):
        print("Where returns are negative: per cent of the way from random actions to the expert.")
    if any(row["frozen"] for row in rows):
        print("* a seed broke, and is judged by its last good state.")


if __name__ == "__main__":
    command.main(main)
