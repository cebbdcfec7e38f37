"""What commands take as a user starts them: to say what they can do, and to recover a reward."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evil.errors import UserError, at_least
from evil.experiments.settings import presets


def startup(scripts: Path, repeats: int = 5) -> dict[str, float]:
    """Seconds of `import evil` beyond `import jax`, and of the slowest `--help`."""

    def fastest(*arguments: str) -> float:
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    return {
        "import_evil_beyond_jax_s": fastest("-c", "import jax, evil") - fastest("-c", "import jax"),
        "slowest_help_s": max(
            fastest(str(script), "--help") for script in sorted(scripts.glob("*.py"))
        ),
    }


def recovery(script: Path, env: str, num_seeds: int, num_demos: int | None) -> dict[str, Any]:
    """The main study at the quick preset on seeds 1, 2, ..., each as a user would run it."""
    at_least(1, num_seeds=num_seeds)
    presets.recovery(env, "quick", irl_plus=True)  # a wrong name is refused here
    fields = ("final_return", "retrain_return", "rl_return", "survival_return", "bc_return")
    found = []
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
