"""The run directory: created once, recognised, compared, and never half changed."""

from __future__ import annotations

import json
import math
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.running import files
from evil.running.directory import RunDirectory

CONFIG = {"env": "hopper", "learner": {"rate": 1e-3, "sizes": (64, 64)}, "seed": 0}


def test_create_records_what_the_run_is(tmp_path):
    directory = RunDirectory.create(tmp_path / "new" / "run", CONFIG)
    content = json.loads(directory.config.read_text())
    assert content["config"]["learner"] == {"rate": 1e-3, "sizes": [64, 64]}
    assert content["versions"]["jax"] == jax.__version__
    assert content["device"]["platform"] == "cpu"
    assert content["command"] == sys.argv
    assert [path.name for path in directory.path.iterdir()] == ["config.json"]
    assert RunDirectory.open(directory.path) == directory


def test_an_empty_folder_may_be_used(tmp_path):
    assert RunDirectory.create(tmp_path, CONFIG).read_config()["seed"] == 0


def test_a_folder_where_only_the_attempt_was_killed_may_be_used(tmp_path):
    (tmp_path / ".config.json-a1b2c3").write_text('{"half')
    RunDirectory.create(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RunDirectory.create("run", CONFIG).path == tmp_path / "run"


def test_an_existing_run_is_not_overwritten(tmp_path, contents):
    RunDirectory.create(tmp_path / "run", CONFIG)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="already exists") as caught:
        RunDirectory.create(tmp_path / "run", {"other": 1})
    for word in (str(tmp_path / "run"), "--resume", "--out"):
        assert word in str(caught.value)
    assert contents(tmp_path) == before


def test_a_file_is_not_a_place_for_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        RunDirectory.create(tmp_path / "file", CONFIG)
    with pytest.raises(UserError, match="Not a directory"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder nobody can write")
def test_a_parent_that_cannot_be_written():
    with pytest.raises(UserError, match="cannot create /proc/evil/run"):
        RunDirectory.create("/proc/evil/run", CONFIG)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, contents):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*config\.json: No space left"):
        RunDirectory.create(tmp_path / "a" / "b" / "run", CONFIG)
    assert contents(tmp_path) == {}


def test_a_full_disk_keeps_the_old_summary(tmp_path, monkeypatch, contents):
    directory = RunDirectory.create(tmp_path / "run", CONFIG)
    directory.write_summary({"final_return": 1.0})
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(UserError, match=r"summary\.json: No space left"):
        directory.write_summary({"final_return": 2.0})
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "is not a run directory"),
        ("{", "corrupt"),
        ("[1]", "corrupt: expected a JSON object, found list"),
        ('{"config": 3}', "no object named 'config'"),
        ("[" * 100_000, "corrupt"),
        ("\udcff", "corrupt"),
    ],
)
def test_a_foreign_or_corrupt_directory_is_refused(tmp_path, contents, text, words):
    if text is not None:
        (tmp_path / "config.json").write_text(text, errors="surrogateescape")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        RunDirectory.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        RunDirectory.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "config, words",
    [
        (CONFIG | {"seed": 1}, ["seed=0", "seed=1"]),
        (CONFIG | {"learner": {"rate": 3e-4, "sizes": (64, 64)}}, ["learner.rate=0.001", "0.0003"]),
        (CONFIG | {"learner": {"rate": 1e-3, "sizes": (64,)}}, ["learner.sizes=[64, 64]", "[64]"]),
        (CONFIG | {"extra": None}, ["extra=(absent)", "extra=None"]),
        ({"env": "hopper", "seed": 0}, ["learner=", "(absent)"]),
        (CONFIG | {"seed": False}, ["seed=0", "seed=False"]),
    ],
)
def test_another_config_is_named_by_its_first_difference(tmp_path, config, words):
    directory = RunDirectory.create(tmp_path / "run", CONFIG)
    with pytest.raises(UserError) as caught:
        directory.check_same_config(config)
    for word in words:
        assert word in str(caught.value)


def test_the_same_config_is_the_same_after_json(tmp_path):
    config = CONFIG | {"limit": math.inf, "scale": 1, "none": None}
    directory = RunDirectory.create(tmp_path / "run", config)
    directory.check_same_config(config)
    directory.check_same_config(config | {"scale": 1.0})


def test_summary_round_trip(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match=r"has no summary\.json"):
        directory.read_summary()
    directory.write_summary(
        {
            "final_return": {"mean": np.float32(1.5), "seeds": jnp.array([1.0, jnp.nan])},
            "steps": np.int64(2**40),
            "infinite": float("-inf"),
            "half": jnp.asarray(0.5, jnp.bfloat16),
            "flag": np.bool_(True),
            "path": tmp_path,
        }
    )
    assert directory.read_summary() == {
        "final_return": {"mean": 1.5, "seeds": [1.0, None]},
        "steps": 2**40,
        "infinite": None,
        "half": 0.5,
        "flag": True,
        "path": str(tmp_path),
    }
    assert "NaN" not in directory.summary.read_text()


def test_a_torn_summary_is_named(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", CONFIG)
    directory.summary.write_text('{"final')
    with pytest.raises(UserError, match=r"summary\.json is corrupt"):
        directory.read_summary()
