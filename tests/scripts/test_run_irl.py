"""The main command, as its users type it: one whole run, every wrong input, kill and resume."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evil.running import command

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = (
    "--env", "gridworld", "--irl_plus", "--preset", "smoke", "--quiet", "--seed", "3",
)  # fmt: skip
TWO_BY_TWO = ("--num_seeds", "2", "--algorithm.population", "2")

Call = Callable[..., tuple[int, str]]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_irl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the script in this process; returns its exit code and what it said."""
    script = load("run_irl")

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_irl.py", *map(str, arguments)])
        try:
            command.main(script.main)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of two seeds, each with two policies."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    arguments = [sys.executable, SCRIPTS / "run_irl.py", *TINY, *TWO_BY_TWO, "--out", out]
    subprocess.run(list(map(str, arguments)), check=True, timeout=400)
    return out


def test_a_run_leaves_everything_the_contract_names(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    for name in (
        "env", "backend", "algorithm", "seeds", "expert_return", "random_return", "env_steps",
        "wall_s", "compile_s", "env_steps_per_s", "peak_memory_mb", "final_return",
        "retrain_return", "rl_return", "survival_return", "bc_return",
    ):  # fmt: skip
        assert name in summary, name
    assert len(summary["final_return"]["per_seed"]) == 2
    assert summary["algorithm"] == "irl_plus"
    # Every policy under the recovered reward, beside the expert's demonstrations.
    recovered = summary["under_recovered_reward"]
    assert list(recovered) == ["expert", "bc", "irl", "retrain", "rl", "survival"]
    lanes = {name: len(one["per_seed"]) for name, one in recovered.items() if name != "expert"}
    assert lanes == {"bc": 2, "irl": 2, "retrain": 4, "rl": 2, "survival": 2}
    phases = {
        json.loads(line)["phase"] for line in (finished / "metrics.jsonl").read_text().splitlines()
    }
    assert phases == {"bc", "irl", "retrain", "rl", "survival"}
    for pattern in (
        "config.json", "policy/irl-1.safetensors", "policy/retrain-0.safetensors",
        "reward/reward-1.safetensors", "figures/learning.png", "figures/gap.png",
        "checkpoints/irl/*", "tensorboard/*/events*",
    ):  # fmt: skip
        assert list(finished.glob(pattern)), pattern


def test_a_finished_run_resumes_to_the_same_summary(finished: Path, run_irl: Call) -> None:
    before = json.loads((finished / "summary.json").read_text())
    code, said = run_irl("--resume", finished, "--quiet")
    assert code == 0, said
    after = json.loads((finished / "summary.json").read_text())
    before.pop("peak_memory_mb"), after.pop("peak_memory_mb")
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--env", "hoper"], "did you mean hopper"),
        (["--env", "hopper", "--backend", "positonal"], "did you mean positional"),
        (["--env", "gridworld", "--backend", "spring"], "no physics backends"),
        (["--env", "gridworld", "--preset", "quik"], "did you mean quick"),
        ([*TINY, "--demos", "nowhere.npz"], "nowhere.npz"),
        ([*TINY, "--num_demos", "1000"], "1000"),
        ([*TINY, "--algorithm.learner.num_minibatches", "7"], "7 minibatches do not divide"),
        (
            [*TINY, "--algorithm.learner.final_restart_rate", "-1"],
            "final_restart_rate must be",
        ),
        ([*TINY, "--algorithm.capacity", "7"], "capacity"),
        ([*TINY, "--algorithm.learner.network.activation", "tan"], "did you mean tanh"),
        ([*TINY, "--algorithm.learner.network.distribution", "gaussian"], "discrete"),
        (["--env", "ant", "--irl_plus", "--preset", "smoke"], "train_expert.py --env ant"),
        ([*TINY, "--num_seeds", "0"], "num_seeds must be at least 1"),
        ([*TINY, "--algorithm.learner.num_minibatches", "0"], "num_minibatches must be"),
        (["--resume", "no/such/run"], "not a run directory"),
    ],
)
def test_wrong_input_gets_one_sentence_and_leaves_nothing(
    arguments: list[str], expected: str, run_irl: Call, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    extra = [] if "--resume" in arguments else ["--out", out]
    code, said = run_irl(*arguments, *extra)
    assert code == 2
    assert expected in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()


def test_an_existing_directory_is_refused(run_irl: Call, finished: Path) -> None:
    before = sorted(path for path in finished.rglob("*"))
    code, said = run_irl(*TINY, "--out", finished)
    assert (code, "already exists" in said) == (2, True)
    assert sorted(finished.rglob("*")) == before


def test_resuming_under_another_config_names_the_field(run_irl: Call, finished: Path) -> None:
    code, said = run_irl("--resume", finished, "--algorithm.learner.discount", "0.5")
    assert code == 2
    assert "algorithm.learner.discount" in said


def test_a_run_of_another_study_is_not_resumed(run_irl: Call, tmp_path: Path) -> None:
    from evil.config import to_dict
    from evil.experiments.settings import presets
    from evil.running.directory import RunDirectory

    RunDirectory.create(tmp_path / "bc", to_dict(presets.cloning("gridworld", "smoke")))
    code, said = run_irl("--resume", tmp_path / "bc")
    assert code == 2
    assert "evil.experiments.clone" in said


def test_a_corrupt_checkpoint_is_refused(run_irl: Call, finished: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    newest = max((broken / "checkpoints" / "irl").iterdir(), key=lambda path: int(path.name))
    largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-7])
    code, said = run_irl("--resume", broken, "--quiet")
    assert code == 2
    assert "corrupt" in said or "checkpoint" in said
    assert "Traceback" not in said


# That nothing is lost to SIGKILL is tested on small runs, at many moments, in tests/running.
@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_killed_and_resumed_ends_at_the_same_bits(
    how: signal.Signals, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    start = [
        sys.executable, str(SCRIPTS / "run_irl.py"), *TINY, *TWO_BY_TWO,
        "--checkpoint_every", "0", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/irl/[0-9]*")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.01)
    process.send_signal(how)
    said, _ = process.communicate(timeout=300)
    if how is signal.SIGINT:
        assert process.returncode == 0, said
        assert f"Continue with --resume {out}\n" in said
    assert not (out / "summary.json").exists()
    subprocess.run(
        [sys.executable, str(SCRIPTS / "run_irl.py"), "--resume", str(out), "--quiet"],
        check=True,
        timeout=400,
    )
    for name in ("policy/irl-0", "policy/irl-1", "policy/retrain-1", "reward/reward-0"):
        whole = (finished / f"{name}.safetensors").read_bytes()
        assert (out / f"{name}.safetensors").read_bytes() == whole, name


def test_the_users_own_demonstrations(run_irl: Call, tmp_path: Path) -> None:
    """A file of the wrong environment, and one with a NaN in it."""
    from evil import environments
    from evil.demonstrations import catalogue, files

    spec = environments.make("gridworld").spec
    demos, _ = catalogue.demonstrations(spec)
    files.save(tmp_path / "grid.npz", demos, spec, {})
    code, said = run_irl("--env", "cartpole", "--preset", "smoke", "--demos", tmp_path / "grid.npz")
    assert code == 2
    assert "gridworld" in said
    with np.load(tmp_path / "grid.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays["obs"][3, 1] = np.nan
    np.savez_compressed(tmp_path / "nan.npz", **arrays)
    code, said = run_irl(*TINY, "--demos", tmp_path / "nan.npz", "--out", tmp_path / "run")
    assert code == 2
    assert "obs" in said
    assert not (tmp_path / "run").exists()


def test_on_whole_numbers_gail_is_played_with_tables() -> None:
    from evil import environments
    from evil.experiments import recover
    from evil.experiments.settings import presets, recipes
    from evil.imitation import irl
    from evil.rewards import adversarial

    config = presets.recovery("gridworld50", "quick", irl_plus=False, recipe="gail")
    assert config.algorithm.learner.network.embed
    assert config.algorithm.reward.member == recipes.TABLE
    irl.make(config.algorithm, environments.make("gridworld50"))
    elsewhere = presets.recovery("cartpole", "quick", irl_plus=False, recipe="gail")
    member = elsewhere.algorithm.reward.member
    assert isinstance(member, adversarial.Config) and not member.embed
    for one in (config, elsewhere, presets.recovery("cartpole", "quick", irl_plus=True)):
        assert command.parse(recover.Config, "", lambda _, one=one: one, [], [])[0] == one
