"""Which recipe recovers a reward that retrains a policy: one table and one figure.

    python scripts/study_retraining.py --envs hopper --rows default published

Every recipe runs the whole of run_irl.py in a directory of its own. A study that was stopped goes
on where it was when the same command is given again, and only new rows are run. Table and figure
show all that the folder holds.
"""

from __future__ import annotations

import json

import rich.box
import rich.console
import rich.table
import tyro

from evil import atomic
from evil.experiments.series import study
from evil.running import command
from plotting import retraining

WIDTH = 140  # of the table, in characters


def main() -> None:
    config = tyro.cli(study.Config, description=__doc__)
    path = study.carry_out(config)
    show(json.loads(path.read_text())["rows"])
    with atomic.explained("draw the figures of", path.parent):
        print(f"wrote {path} and {retraining.draw(path.parent)}")


def show(rows: list[dict]) -> None:
    """Means over seeds; retraining by its interquartile mean."""
    table = rich.table.Table(box=rich.box.SIMPLE)
    headings = ("env", "recipe", "IRL", "retrained", "of expert", "RL", "survival", "recovered",
                "correlation", "EPIC", "minutes")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("env", "recipe") else "right")
    for row in rows:
        under = row["recovered"]
        table.add_row(
            row["env"],
            row["row"],
            mean(row["irl"]),
            f"{row['retrain_iqm']:,.0f}",
            f"{100 * row['retrain_iqm'] / row['expert']:.0f} %" if row["expert"] > 0 else "",
            mean(row["rl"]),
            mean(row["survival"]),
            " / ".join(f"{under[name]:,.0f}" for name in ("expert", "irl", "retrain")),
            "" if row["correlation"] is None else f"{row['correlation']:+.2f}",
            f"{row['epic']:.2f}",
            f"{(row['wall_s'] + row['compile_s']) / 60:.1f}",
        )
    console = rich.console.Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
    print("recovered: return under the recovered reward of the expert, the IRL policy, retrained.")


def mean(values: list[float] | None) -> str:
    return "" if not values else f"{sum(values) / len(values):,.0f}"


if __name__ == "__main__":
    command.main(main)
