"""Measure what the README quotes, and print it as JSON.

python scripts/benchmark.py suite                 everything that runs, beside its rooflines
python scripts/benchmark.py suite --compare OLD.json       ... and what has become slower since
python scripts/benchmark.py scaling --budget_s 600         over lanes, environments and devices
python scripts/benchmark.py devices               hopper IRL++ and stepping on all devices and one
python scripts/benchmark.py seeds                 cartpole IRL, 32 seeds and one, nothing cached
python scripts/benchmark.py faults                what a checkpoint costs, and a resumption
python scripts/benchmark.py throughput            bare environment, PPO, IRL++ (hopper, quick)
python scripts/benchmark.py paper                 one iteration of the published setting
python scripts/benchmark.py reliability --env walker2d     PPO at the quick budget, 5 seeds
python scripts/benchmark.py generation --env pendulum      EvIL beside plain PPO lanes
python scripts/benchmark.py recovery --num_seeds 3         run_irl.py --irl_plus, nothing cached
python scripts/benchmark.py sac                   an update of SAC beside its matrix products
python scripts/benchmark.py tabular               a gradient on gridworld50, and a hundred lanes
python scripts/benchmark.py accelerator --preset paper     runs of 1, 32 and 200 seeds, by slices
python scripts/benchmark.py startup               import and --help

Figures that are compared take turns, in one process or in two that wait for each other.
`evil/benchmarks/regressions.py` says what a regression is.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evil.errors import UserError
from evil.running import command

SCRIPTS = Path(__file__).resolve().parent
RUN_IRL = SCRIPTS / "run_irl.py"
What = Literal[
    "suite", "scaling", "devices", "seeds", "faults", "throughput", "paper", "reliability",
    "generation", "recovery", "sac", "tabular", "startup", "accelerator",
]  # fmt: skip


def measure(
    what: Annotated[What, tyro.conf.Positional],
    env: str | None = None,
    preset: str = "quick",
    num_seeds: int | None = None,
    num_demos: int | None = None,
    turns: int = 7,
    budget_s: float = 600.0,
    compare: Path | None = None,
    devices: str | None = None,
) -> None:
    """Measure and print.

    Args:
        what: Which measurement.
        env: Environment; default: hopper, and cartpole for seeds.
        preset: Sizes of everything in suite, devices, seeds, faults and accelerator.
        num_seeds: Seeds of seeds (default: 32), reliability (5) and recovery (5).
        num_demos: Demonstrations in recovery; default: all.
        turns: Calls of each program in suite, devices, scaling and accelerator.
        budget_s: Seconds after which the series of scaling end.
        compare: An earlier output of suite; exit code 1 if something has become slower.
        devices: Devices to use, as cpu:2; default: all of the best kind.
    """
    del devices  # read by `command.main`
    if compare is not None and what != "suite":
        raise UserError("--compare is for suite.")
    old = None
    if compare is not None:
        from evil.benchmarks import regressions

        old = regressions.read(compare)  # a wrong file is refused before anything is measured
    found = {"benchmark": what} | measured(
        what, env or ("cartpole" if what == "seeds" else "hopper"), preset,
        num_seeds or (32 if what == "seeds" else 5), num_demos, turns, budget_s,
    )  # fmt: skip
    slower = []
    if old is not None:
        from evil.benchmarks import regressions

        found["compared"] = regressions.compare(found, old)
        slower = [name for name, one in found["compared"].items() if one["is_regression"]]
    machine = {"machine": platform.machine(), "cores": os.cpu_count()}
    print(json.dumps(found | machine, indent=2))
    if slower:
        print(f"slower than before: {', '.join(slower)}", file=sys.stderr)
        raise SystemExit(1)


def measured(
    what: What,
    env: str,
    preset: str,
    num_seeds: int,
    num_demos: int | None,
    turns: int,
    budget_s: float,
) -> dict[str, Any]:
    """One measurement."""
    from evil.benchmarks import (
        accelerator,
        commands,
        devices,
        programs,
        sac,
        scaling,
        suite,
        tabular,
        targets,
    )

    return {
        "suite": lambda: suite.suite(env, preset, turns),
        "scaling": lambda: scaling.scaling(env, budget_s, turns),
        "devices": lambda: devices.comparison(env, turns, preset),
        "seeds": lambda: targets.seeds(RUN_IRL, env, num_seeds, preset),
        "faults": lambda: targets.faults(RUN_IRL, env, preset),
        "throughput": lambda: programs.throughput(env),
        "paper": lambda: programs.paper(env),
        "reliability": lambda: programs.reliability(env, num_seeds),
        "generation": lambda: programs.generation(env),
        "recovery": lambda: commands.recovery(RUN_IRL, env, num_seeds, num_demos),
        "sac": lambda: sac.costs(env),
        "tabular": lambda: tabular.fits("gridworld50"),
        "startup": lambda: commands.startup(SCRIPTS),
        "accelerator": lambda: accelerator.runs(preset, turns=turns),
    }[what]()


def main() -> None:
    tyro.cli(measure, description=__doc__)


if __name__ == "__main__":
    command.main(main)
