"""Interrupted, killed and resumed: the same bits and the same log as a run left alone."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evil.errors import UserError
from evil.running import directory, lanes
from evil.running.directory import RunDirectory
from evil.running.progress import Lines
from evil.running.runner import Interrupted, Outcome, Phase, Session, run
from evil.running.signals import Stop
from evil.running.sinks import JsonLines

ROOT = Path(__file__).parents[2]


class StopAfter:
    """A sink that asks the session to stop after so many chunks."""

    def __init__(self, stop: Stop, chunks: int) -> None:
        self.stop, self.left = stop, chunks

    def write(self, records: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.request()

    def rewind(self, phase: str, iteration: int) -> None:
        pass

    def close(self) -> None:
        pass


def finish(path: Path, phase: Phase, interval_s: float = 60.0, **given: Any) -> Outcome:
    """Run or resume `phase` in an existing directory, to its end."""
    directory = RunDirectory.open(path)
    sink = JsonLines(directory.metrics)
    try:
        return run(phase, Session(directory, (sink,), checkpoint_interval_s=interval_s, **given))
    finally:
        sink.close()


def told(path: Path, phase: Phase) -> list[str]:
    """What is said while `phase` is finished."""
    stream = io.StringIO()
    finish(path, phase, progress=Lines((), stream))
    return stream.getvalue().splitlines()


def interrupt(path: Path, phase: Phase, chunks: int, interval_s: float = 60.0) -> Interrupted:
    directory, stop = RunDirectory.open(path), Stop()
    sink = JsonLines(directory.metrics)
    session = Session(
        directory, (sink, StopAfter(stop, chunks)), stop=stop, checkpoint_interval_s=interval_s
    )
    with pytest.raises(Interrupted) as caught:
        run(phase, session)
    sink.close()
    return caught.value


def log(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "wall_s"} for record in records]


def iterations(path: Path) -> list[int]:
    folders = (path / "checkpoints" / "irl").glob("[0-9]*")
    return sorted(int(folder.name) for folder in folders)


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory):
    """A run that nobody disturbed: its outcome and its log."""
    path = tmp_path_factory.mktemp("alone") / "run"
    RunDirectory.create(path, tiny.CONFIG)
    return finish(path, tiny.phase()), log(path)


@pytest.fixture
def path(tiny, tmp_path):
    RunDirectory.create(tmp_path / "run", tiny.CONFIG)
    return tmp_path / "run"


def test_stopped_twice_and_resumed(tiny, path, alone, assert_same_bits):
    assert interrupt(path, tiny.phase(), chunks=3).iteration == 12
    assert iterations(path) == [12]
    assert interrupt(path, tiny.phase(), chunks=2).iteration == 20
    outcome = finish(path, tiny.phase(), interval_s=0.0)
    assert_same_bits(outcome.states, alone[0].states)
    assert log(path) == alone[1]
    assert outcome.iterations == 41
    assert outcome.last_metrics.keys() == alone[0].last_metrics.keys()
    for name, values in alone[0].last_metrics.items():
        assert (outcome.last_metrics[name] == values).all()


def test_stopped_before_it_began(tiny, path, alone, assert_same_bits):
    directory, stop = RunDirectory.open(path), Stop()
    stop.request()
    for _ in range(2):  # the second time there is nothing new to save
        with pytest.raises(Interrupted, match="is saved"):
            run(tiny.phase(), Session(directory, stop=stop))
        assert iterations(path) == [0]
    assert_same_bits(finish(path, tiny.phase()).states, alone[0].states)
    assert log(path) == alone[1]


def test_frozen_lanes_stay_frozen_after_a_resume(tiny, path, assert_same_bits):
    phase = tiny.phase(broken_metric=(tiny.NEVER, 7, tiny.NEVER))
    undisturbed = run(phase)
    interrupt(path, phase, chunks=3)
    outcome = finish(path, phase)
    assert outcome.frozen == undisturbed.frozen and len(outcome.frozen) == 1
    assert_same_bits(outcome.states, undisturbed.states)
    assert max(r["iteration"] for r in log(path) if r["lane"] == 1) == 6


def test_a_finished_phase_is_read_not_run(tiny, path, counted, monkeypatch, assert_same_bits):
    first = finish(path, tiny.phase())
    monkeypatch.setattr(lanes, "compile_phase", lambda *_: pytest.fail("compiled"))
    step = counted(tiny.step)
    again = finish(path, tiny.phase(algorithm=tiny.algorithm(step)))
    assert step.count == 0
    assert_same_bits(again.states, first.states)
    assert (again.wall_s, again.compile_s, again.env_steps) == (
        first.wall_s,
        first.compile_s,
        first.env_steps,
    )


def test_wall_and_compile_times_add_up(tiny, path):
    interrupt(path, tiny.phase(), chunks=2)
    folder = path / "checkpoints" / "irl" / "8" / "meta.json"
    before = json.loads(folder.read_text())["position"]
    outcome = finish(path, tiny.phase())
    assert outcome.wall_s > before["wall_s"] > 0
    assert outcome.compile_s > before["compile_s"] > 0


def test_the_newest_two_checkpoints_stay(tiny, path):
    finish(path, tiny.phase(), interval_s=0.0)
    assert iterations(path) == [40, 41]


def test_another_number_of_iterations_is_refused(tiny, path):
    finish(path, tiny.phase())
    with pytest.raises(UserError, match="not made for 60 iterations"):
        finish(path, tiny.phase(iterations=60))


def test_two_phases_share_a_directory(tiny, path, alone):
    finish(path, tiny.phase())
    finish(path, tiny.phase(name="retrain", iterations=5))
    records = log(path)
    assert [r for r in records if r["phase"] == "irl"] == alone[1]
    assert max(r["iteration"] for r in records if r["phase"] == "retrain") == 5


def start(path: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(Path(__file__).with_name("tiny.py")), str(path)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_checkpoint(process: subprocess.Popen[str], path: Path) -> None:
    deadline = time.monotonic() + 60
    while not iterations(path) or iterations(path)[-1] < 8:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no checkpoint within a minute"
        time.sleep(0.01)


def test_a_real_sigint_saves_and_leaves(tiny, tmp_path, alone, assert_same_bits):
    path = tmp_path / "run"
    process = start(path)
    wait_for_checkpoint(process, path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted in phase 'irl' after iteration" in out
    assert "Traceback" not in err
    assert 8 <= iterations(path)[-1] < 41
    assert_same_bits(finish(path, tiny.phase()).states, alone[0].states)
    assert log(path) == alone[1]


def test_a_kill_costs_only_what_was_not_saved(tiny, tmp_path, alone, assert_same_bits):
    path = tmp_path / "run"
    process = start(path)
    wait_for_checkpoint(process, path)
    process.kill()
    process.communicate(timeout=60)
    assert 8 <= iterations(path)[-1] < 41
    # What a kill in the middle of a save and of a line would have left behind:
    half = path / "checkpoints" / "irl" / ".tmp-39"
    half.mkdir(exist_ok=True)
    (half / "meta.json").write_text("{")
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write('{"phase": "irl", "iteration": 3')
    assert_same_bits(finish(path, tiny.phase()).states, alone[0].states)
    assert log(path) == alone[1]
    assert not half.exists()


def test_a_kill_before_the_first_checkpoint_begins_again(tiny, path, alone, assert_same_bits):
    line = {"phase": "irl", "iteration": 3, "lane": 0, "wall_s": 0.1, "env_steps": 15}
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert_same_bits(finish(path, tiny.phase()).states, alone[0].states)
    assert log(path) == alone[1]


def test_what_is_computed_again_is_said(tiny, path):
    line = {"phase": "irl", "iteration": 3, "lane": 0, "wall_s": 0.1, "env_steps": 15}
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    stop = Stop()
    stop.request()
    with pytest.raises(Interrupted):  # before a first checkpoint, then at the one of iteration 0
        finish(path, tiny.phase(), stop=stop)
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    said = told(path, tiny.phase())
    assert said[0].startswith("irl: continues after iteration 0,") and "; 3 were logged" in said[0]
    assert "irl: iteration 0 of 41" in said[1]
    assert told(path, tiny.phase()) == []  # finished


def test_other_versions_are_said(tiny, path, monkeypatch):
    interrupt(path, tiny.phase(), chunks=2)
    now = directory.versions()
    monkeypatch.setattr(directory, "versions", lambda: now | {"jax": "99.0"})
    said = told(path, tiny.phase())
    assert f"written by jax {now['jax']}, now 99.0: bits may differ" in said[0]
    assert told(path, tiny.phase()) == []  # finished: read, not run


def test_a_phase_that_never_had_a_checkpoint_begins_anew_and_says_so(tiny, path):
    line = {"phase": "irl", "iteration": 3, "lane": 0, "wall_s": 0.1, "env_steps": 15}
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (path / "checkpoints" / "irl" / ".tmp-9").mkdir(parents=True)  # a kill in the first save
    said = told(path, tiny.phase())
    assert said[0].startswith("irl: begins anew; 3 iterations were logged")


@pytest.mark.parametrize("removed", ["checkpoints/irl/*", "checkpoints"])
def test_lost_checkpoints_do_not_cost_what_was_logged(tiny, path, alone, removed):
    finish(path, tiny.phase())
    if removed == "checkpoints":
        (path / "summary.json").write_text("{}")
    for folder in path.glob(removed):
        shutil.rmtree(folder)
    kept = (path / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="has logged 41 iterations, but of its checkpoints none"):
        finish(path, tiny.phase())
    assert (path / "metrics.jsonl").read_bytes() == kept
    (path / "summary.json").unlink(missing_ok=True)
    shutil.rmtree(path / "checkpoints", ignore_errors=True)
    finish(path, tiny.phase())
    assert log(path) == alone[1]
