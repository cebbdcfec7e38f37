"""Measure what the README quotes, and print it as JSON.

python scripts/benchmark.py throughput            bare environment, PPO, IRL++ (hopper, quick)
python scripts/benchmark.py paper                 one iteration of the published setting
python scripts/benchmark.py reliability --env walker2d     PPO at the quick budget, 5 seeds
python scripts/benchmark.py startup               import and --help
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evil.running import command


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


def measure(
    what: Annotated[Literal["throughput", "paper", "reliability", "startup"], tyro.conf.Positional],
    env: str = "hopper",
    num_seeds: int = 5,
) -> None:
    """Measure and print."""
    from evil.experiments import benchmark

    found: dict[str, Any]
    if what == "throughput":
        found = benchmark.throughput(env)
    elif what == "paper":
        found = benchmark.paper(env)
    elif what == "reliability":
        found = benchmark.reliability(env, num_seeds)
    else:
        found = startup()
    machine = {"machine": platform.machine(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": what} | found | machine, indent=2))


def main() -> None:
    tyro.cli(measure, description=__doc__)


if __name__ == "__main__":
    command.main(main)
