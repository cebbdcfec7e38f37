"""The groups of a sweep as jobs: one summary in the end, and nothing lost on the way there."""

from __future__ import annotations

import json

import pytest

from evil.config import to_dict
from evil.errors import UserError
from evil.experiments.series import launched, sweep
from evil.experiments.settings import presets
from evil.running import launchers, memory
from evil.running.directory import RunDirectory
from evil.running.session import Session
from scripts import run_sweep
from tests.scripts.starting import start, summary_of

GIVEN = ("--env", "gridworld", "--preset", "smoke", "--num_seeds", 2, "--what", "bc",
         "--bc_iterations", 1, "--sweep", "bc.batch_size=8,16", "--quiet")  # fmt: skip


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A sweep of two groups, of which the second fails at first; then it is resumed."""
    path = tmp_path_factory.mktemp("launched") / "run"

    def fail_second(job):
        broken = [job.command[0], "-c", "raise SystemExit('no space left')"]
        chosen = broken if job.name == "group 1" else job.command
        return launchers.Local(launchers.Job(job.name, chosen, job.log))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launchers, "make", lambda *given: fail_second)
        with pytest.raises(UserError) as failed:
            run(*GIVEN, "--launcher", "local", "--jobs", 2, "--out", path)
    first = (path / "groups" / "0" / "summary.json").stat().st_mtime_ns
    start(run_sweep, "--resume", path)
    return path, str(failed.value), first


def run(*options):
    """As `start`, but what is refused is raised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["run_sweep.py", *map(str, options)])
        run_sweep.main()


def test_a_group_that_fails_is_named_with_its_reason(jobs):
    _, failed, _ = jobs
    assert "1 of 2 groups have failed, the first of them group 1 (no space left)" in failed
    assert "--resume" in failed and "\n" not in failed


def test_resumed_only_what_failed_is_run_again(jobs):
    path, _, first = jobs
    assert (path / "groups" / "0" / "summary.json").stat().st_mtime_ns == first


def test_jobs_come_to_what_one_process_comes_to(jobs, tmp_path):
    path, _, _ = jobs
    start(run_sweep, *GIVEN, "--out", tmp_path / "alone")
    ours, theirs = summary_of(path), summary_of(tmp_path / "alone")
    assert ours["lanes"] == theirs["lanes"] and ours["ranking"] == theirs["ranking"]
    logged = [
        {
            (r["phase"], r["lane"], r["iteration"], r["clone/loss"])
            for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        }
        for run in (path, tmp_path / "alone")
    ]
    assert logged[0] == logged[1] and {name for name, *_ in logged[0]} == {"bc-0", "bc-1"}
    assert (path / "figures" / "sweep.png").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jobs": 2}, "are for --launcher"),
        ({"launcher_options": ("a=1",)}, "are for --launcher"),
        ({"launcher": "local", "launcher_options": ("a",)}, "expected name=value"),
        ({"launcher": "local", "jobs": 0}, "jobs must be at least 1"),
        ({"group": 2}, "group is 2: there are 2, counted from 0"),
    ],
)
def test_what_cannot_be_launched_is_refused(changes, said):
    usual = presets.recovery("gridworld", "smoke", irl_plus=True)
    config = sweep.Config(what="bc", sweep=("bc.batch_size=8,16",), study=usual, **changes)
    with pytest.raises(UserError, match=said):
        sweep.study(config)


def test_jobs_of_one_machine_share_its_memory(tmp_path, monkeypatch):
    usual, seen = presets.recovery("gridworld", "smoke", irl_plus=True), []
    config = sweep.Config(study=usual, launcher="local", jobs=2)
    monkeypatch.setattr(launchers, "run", lambda jobs, *_, **__: seen.extend(jobs))
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**30)
    session = Session(directory=RunDirectory.create(tmp_path / "run", to_dict(config)))
    with pytest.raises(UserError, match="2 of 2 groups have failed"):
        launched.carry_out(config, [0, 1], session, ())
    assert [job.command[-2:] for job in seen] == [["--memory_mb", "512.0"]] * 2


def test_a_missing_package_is_named_before_there_is_a_run(monkeypatch):
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda package: None)
    usual = presets.recovery("gridworld", "smoke", irl_plus=True)
    config = sweep.Config(what="bc", sweep=("bc.batch_size=8,16",), launcher="ray", study=usual)
    with pytest.raises(UserError, match="--launcher ray needs the ray package"):
        sweep.study(config)
