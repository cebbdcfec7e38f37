"""Where metrics go."""

from __future__ import annotations

import importlib.util
import json

import pytest

from evil.errors import UserError
from evil.running import sinks
from evil.running.directory import RunDirectory


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


def test_tensorboard_has_a_scalar_per_phase_lane_and_metric(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    sink = sinks.TensorBoard(tmp_path)
    sink.write([record(iteration=7, lane=1), record("retrain", 8)])
    sink.close()
    found = []
    for path in sorted(tmp_path.rglob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):  # length, checksum, event, checksum
            size = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            at += 16 + size
    assert sorted(found) == [(7, "irl/1/agent/return", 1.5), (8, "retrain/0/agent/return", 1.5)]


def test_sinks_are_opened_as_asked(tmp_path, monkeypatch):
    directory = RunDirectory.create(tmp_path / "run", {})
    assert [type(s) for s in sinks.open_sinks(directory, tensorboard=False)] == [sinks.JsonLines]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(sinks.open_sinks(directory)) == 1  # TensorBoard by default only if installed
    with pytest.raises(UserError, match="tensorboardX is not installed"):
        sinks.open_sinks(directory, tensorboard=True)
    with pytest.raises(UserError, match="wandb is not installed"):
        sinks.open_sinks(directory, wandb="project")
