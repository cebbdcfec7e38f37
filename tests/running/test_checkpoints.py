"""Checkpoints: exact, and refused in one sentence when they are not what they should be."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from evil.errors import UserError
from evil.pytrees import pytree
from evil.running import checkpoints, directory, leaves
from evil.running.checkpoints import STATE, Checkpoints


@pytree
class Inner:
    weights: jax.Array
    half: jax.Array


def states() -> dict:
    return {
        "inner": Inner(weights=jnp.arange(6.0).reshape(2, 3), half=jnp.ones(2, jnp.bfloat16)),
        "keys": jax.random.split(jax.random.key(3), 2),
        "other": jax.random.split(jax.random.key(3, impl="rbg"), 2),
        "count": jnp.array([4, 5], jnp.int32),
        "flag": jnp.array([True, False]),
        "nothing": (),
        "none": None,
        "empty": jnp.zeros((2, 0)),
    }


def target(tree):
    return jax.eval_shape(lambda: tree)


@pytest.fixture
def store(tmp_path):
    store = Checkpoints(tmp_path / "irl")
    store.save(3, states(), {"iteration": 3})
    return store


def test_round_trip_of_everything_a_state_may_hold(store, assert_same_bits):
    saved = store.newest()
    assert saved.position == {"iteration": 3}
    assert_same_bits(store.restore(saved, target(states())), states())


def test_a_relative_folder_works(tmp_path, monkeypatch, assert_same_bits):
    monkeypatch.chdir(tmp_path)
    store = Checkpoints(Path("here"))
    store.save(1, states(), {})
    assert_same_bits(store.restore(store.newest(), target(states())), states())


def test_newest_is_by_number_and_only_keep_stay(tmp_path):
    store = Checkpoints(tmp_path / "irl", keep=2)
    assert store.newest() is None
    for iteration in (8, 9, 10):
        store.save(iteration, {"x": jnp.ones(1)}, {})
    assert store.newest().path.name == "10"
    assert sorted(path.name for path in store.folder.iterdir()) == ["10", "9"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(folder: Path) -> None:
    """Arrays of other names and shapes, and a checksum that agrees with them."""
    entry = {"path": "['count']", "dtype": "int32", "shape": [1], "key": ""}
    leaves.write(folder / STATE, [entry], [jnp.zeros(1, jnp.int32)])
    meta = json.loads((folder / "meta.json").read_text())
    meta["checksum"] = zlib.crc32((folder / STATE).read_bytes())
    (folder / "meta.json").write_text(json.dumps(meta))


def damages():
    return {
        "a flipped bit": lambda folder: flip(folder / STATE),
        "a missing file": lambda folder: (folder / STATE).unlink(),
        "another file, well checked": lambda folder: replace(folder),
        "no metadata": lambda folder: (folder / "meta.json").unlink(),
        "torn metadata": lambda folder: (folder / "meta.json").write_text('{"position": '),
        "empty metadata": lambda folder: (folder / "meta.json").write_text("{}"),
        "a list": lambda folder: (folder / "meta.json").write_text("[]"),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_corrupt_newest_checkpoint_is_an_error(store, contents, damage):
    path = store.save(4, states(), {"iteration": 4})
    damages()[damage](path)
    before = contents(store.folder)
    with pytest.raises(UserError) as caught:
        store.restore(store.newest(), target(states()))
    message = str(caught.value)
    assert f"checkpoint {path} is corrupt" in message and "\n" not in message
    assert contents(store.folder) == before


@pytest.mark.parametrize(
    "change, words",
    [
        ({"count": jnp.zeros(3, jnp.int32)}, ["state['count']", "int32[2]", "int32[3]"]),
        ({"count": jnp.zeros(2, jnp.float32)}, ["int32[2]", "float32[2]"]),
        ({"keys": jax.random.split(jax.random.key(0, impl="rbg"), 2)}, ["key<fry>", "key<rbg>"]),
        ({"zzz": jnp.zeros(1)}, ["7 arrays", "expected 8"]),
        ({"another": jnp.zeros(1)}, ["state['count']", "state['another']"]),
    ],
)
def test_a_checkpoint_of_other_shapes_does_not_fit(store, contents, change, words):
    before = contents(store.folder)
    with pytest.raises(UserError, match="does not fit this run") as caught:
        store.restore(store.newest(), target(states() | change))
    for word in (str(store.folder / "3"), *words):
        assert word in str(caught.value)
    assert contents(store.folder) == before


@pytest.mark.parametrize("found", [0, 1, "2", None])
def test_a_checkpoint_of_another_format_is_refused(store, contents, found):
    path = store.folder / "3" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": found}))
    before = contents(store.folder)
    with pytest.raises(UserError, match=f"/irl/3 is of format {found!r}, expected 2: continue"):
        store.newest()
    assert contents(store.folder) == before


def test_a_checkpoint_knows_what_wrote_it(store, monkeypatch):
    assert store.newest().differences() == []
    now = directory.versions()
    monkeypatch.setattr(directory, "versions", lambda: now | {"jax": "99.0"})
    assert store.newest().differences() == [f"jax {now['jax']}, now 99.0"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("full")])
def test_a_failed_save_keeps_the_checkpoint_before(store, contents, monkeypatch, error):
    before = contents(store.folder)

    def write(folder, states, position):
        (folder / "half").write_text("x")
        raise error

    monkeypatch.setattr(checkpoints, "_write", write)
    with pytest.raises(UserError, match=r"cannot write checkpoint .*/irl/4: .*"):
        store.save(4, states(), {})
    assert contents(store.folder) == before


def test_a_failed_first_save_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        checkpoints, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(UserError, match="full"):
        Checkpoints(tmp_path / "irl").save(4, states(), {})
    assert not (tmp_path / "irl").exists()


def test_half_written_remains_of_a_kill_are_ignored(store):
    (store.folder / ".tmp-9").mkdir()
    (store.folder / ".tmp-9" / "meta.json").write_text("{")
    assert store.newest().path.name == "3"
