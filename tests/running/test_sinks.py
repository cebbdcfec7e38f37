"""Where metrics go."""

from __future__ import annotations

import importlib.util
import json

import pytest

from evil.errors import UserError
from evil.running import sinks
from evil.running.directory import RunDirectory
from tests.limits import full_disk


def record(phase="irl", iteration=1, lane=0, **metrics):
    place = {"phase": phase, "iteration": iteration, "env_steps": 5 * iteration, "wall_s": 0.5}
    return place | {"lane": lane, **(metrics or {"agent/return": 1.5})}


def test_lines_are_json_and_survive_a_rewind_up_to_the_iteration(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sink = sinks.JsonLines(path)
    sink.write([record(iteration=i) for i in (1, 2, 3)])
    sink.write([record(phase="retrain", iteration=9)])
    assert len(path.read_text().splitlines()) == 4  # on disk before it is closed
    sink.rewind("irl", 2)
    sink.write([record(iteration=3, **{"agent/return": float("nan")})])
    sink.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["phase"], x["iteration"]) for x in lines] == [
        ("irl", 1),
        ("irl", 2),
        ("retrain", 9),
        ("irl", 3),
    ]
    assert lines[0] == record() and lines[-1]["agent/return"] is None


def test_a_rewind_with_nothing_to_forget_leaves_the_file_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sinks.JsonLines(path).rewind("irl", 0)
    assert not path.exists()
    path.write_text(json.dumps(record()) + "\n")
    before = path.stat()
    sinks.JsonLines(path).rewind("irl", 1)
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize("torn", ['{"phase": "irl"', json.dumps(record("retrain")), "[]\n", "\xff"])
def test_a_line_torn_by_a_kill_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    whole = json.dumps(record()) + "\n"
    path.write_text(whole + torn)
    sinks.JsonLines(path).rewind("irl", 1)
    assert path.read_text() == whole


def test_a_place_that_cannot_be_written(tmp_path):
    sink = sinks.JsonLines(tmp_path / "missing" / "metrics.jsonl")
    with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl"):
        sink.write([record()])


def events(folder):
    """All events below a folder."""
    from tensorboardX.proto import event_pb2

    found = []
    for path in sorted(folder.rglob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):  # length, checksum, event, checksum
            size = int.from_bytes(data[at : at + 8], "little")
            found.append(event_pb2.Event.FromString(data[at + 12 : at + 12 + size]))
            at += 16 + size
    return found


def test_tensorboard_has_a_scalar_per_phase_lane_and_metric(tmp_path):
    pytest.importorskip("tensorboardX")
    sink = sinks.TensorBoard(tmp_path)
    sink.write([record(iteration=7, lane=1), record("retrain", 8)])
    sink.close()
    found = [
        (event.step, value.tag, value.simple_value)
        for event in events(tmp_path)
        for value in event.summary.value
    ]
    assert sorted(found) == [(7, "irl/1/agent/return", 1.5), (8, "retrain/0/agent/return", 1.5)]


@pytest.mark.parametrize("kind", [sinks.JsonLines, sinks.TensorBoard])
def test_a_full_disk_is_said_and_nothing_waits_for_it(tmp_path, kind):
    pytest.importorskip("tensorboardX")
    sink = kind(tmp_path / "here")
    sink.write([record()])
    with full_disk(), pytest.raises(UserError, match=f"cannot write {tmp_path}/here"):
        for iteration in range(100):  # more than any queue takes
            sink.write([record(iteration=iteration)])
    sink.close()


def test_tensorboard_is_rewound_by_the_start_of_another_session(tmp_path):
    pytest.importorskip("tensorboardX")
    sink = sinks.TensorBoard(tmp_path)
    sink.rewind("irl", 6)
    sink.close()
    starts = [event.step for event in events(tmp_path) if event.session_log.status == 1]
    assert starts == [7]


def test_sinks_are_opened_as_asked(tmp_path, monkeypatch):
    directory = RunDirectory.create(tmp_path / "run", {})
    assert [type(s) for s in sinks.open_sinks(directory, tensorboard=False)] == [sinks.JsonLines]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(sinks.open_sinks(directory)) == 1  # TensorBoard by default only if installed
    with pytest.raises(UserError, match="tensorboardX is not installed"):
        sinks.open_sinks(directory, tensorboard=True)
    with pytest.raises(UserError, match="wandb is not installed"):
        sinks.open_sinks(directory, wandb="project")
