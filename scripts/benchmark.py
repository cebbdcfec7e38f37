"""Measure what the README quotes, and print it as JSON.

python scripts/benchmark.py throughput            bare environment, PPO, IRL++ (hopper, quick)
python scripts/benchmark.py paper                 one iteration of the published setting
python scripts/benchmark.py reliability --env walker2d     PPO at the quick budget, 5 seeds
python scripts/benchmark.py generation --env pendulum      EvIL beside plain PPO lanes
python scripts/benchmark.py recovery --num_seeds 3         run_irl.py --irl_plus, nothing cached
python scripts/benchmark.py sac                   an update of SAC beside its matrix products
python scripts/benchmark.py tabular               a gradient on gridworld50, and a hundred lanes
python scripts/benchmark.py startup               import and --help
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evil.errors import UserError, at_least
from evil.running import command

What = Literal[
    "throughput", "paper", "reliability", "generation", "recovery", "sac", "tabular", "startup"
]


def startup(repeats: int = 5) -> dict[str, float]:
    """Seconds of `import evil` beyond `import jax`, and of the slowest `--help`."""

    def fastest(*arguments: str) -> float:
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    scripts = sorted(Path(__file__).parent.glob("*.py"))
    return {
        "import_evil_beyond_jax_s": fastest("-c", "import jax, evil") - fastest("-c", "import jax"),
        "slowest_help_s": max(fastest(str(script), "--help") for script in scripts),
    }


def recovery(env: str, num_seeds: int, num_demos: int | None) -> dict[str, Any]:
    """The main study at the quick preset on seeds 1, 2, ..., each as a user would run it."""
    from evil.experiments import presets

    at_least(1, num_seeds=num_seeds)
    presets.recovery(env, "quick", irl_plus=True)  # a wrong name is refused here
    fields = ("final_return", "retrain_return", "rl_return", "survival_return", "bc_return")
    script, found = Path(__file__).with_name("run_irl.py"), []
    options = ["--env", env, "--irl_plus", "--preset", "quick"]
    if num_demos is not None:
        options += ["--num_demos", str(num_demos)]
    summary: dict[str, Any] = {}
    for seed in range(1, num_seeds + 1):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "run"
            command_line = [sys.executable, script, *options, "--seed", str(seed), "--out", out]
            cold = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(scratch) / "cache")}
            started = time.perf_counter()
            code = subprocess.run(command_line, env=cold, stdout=sys.stderr, check=False).returncode
            seconds = time.perf_counter() - started
            if code:
                raise UserError(f"run_irl.py --seed {seed} ended with exit code {code}, as above.")
            summary = json.loads((out / "summary.json").read_text())
        found.append({"seed": seed, "seconds": seconds} | {k: summary[k]["mean"] for k in fields})
    return {"env": summary["env"], "expert_return": summary["expert_return"], "seeds": found}


def measure(
    what: Annotated[What, tyro.conf.Positional],
    env: str = "hopper",
    num_seeds: int = 5,
    num_demos: int | None = None,
) -> None:
    """Measure and print."""
    from evil.experiments import benchmark, benchmark_sac, benchmark_tabular

    found: dict[str, Any]
    if what == "throughput":
        found = benchmark.throughput(env)
    elif what == "paper":
        found = benchmark.paper(env)
    elif what == "reliability":
        found = benchmark.reliability(env, num_seeds)
    elif what == "generation":
        found = benchmark.generation(env)
    elif what == "recovery":
        found = recovery(env, num_seeds, num_demos)
    elif what == "sac":
        found = {
            "update": benchmark_sac.update_cost(env),
            "lanes": benchmark_sac.lanes(),
            "replay": benchmark_sac.large_replay(env),
        }
    elif what == "tabular":
        found = benchmark_tabular.fits("gridworld50")
    else:
        found = startup()
    machine = {"machine": platform.machine(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": what} | found | machine, indent=2))


def main() -> None:
    tyro.cli(measure, description=__doc__)


if __name__ == "__main__":
    command.main(main)
