import dataclasses
import io
import json
import re
import zipfile

import jax
import numpy as np
import pytest

from evil import atomic, demonstrations
from evil.demonstrations import archives, files
from evil.errors import UserError
from evil.seams import Spec

CART = Spec(name="cart", obs_shape=(2,), time_limit=9, num_actions=3)
ARM = Spec(
    name="arm",
    obs_shape=(2,),
    time_limit=9,
    action_size=2,
    action_low=(-1.0, -2.0),
    action_high=(1.0, 2.0),
    backend="positional",
)


def make(spec, seed=0):
    generator = np.random.default_rng(seed)
    return demonstrations.from_episodes(
        [
            {
                "obs": generator.normal(size=(n + 1, 2)),
                "action": generator.integers(3, size=n)
                if spec.is_discrete
                else generator.uniform(-1, 1, size=(n, 2)),
                "reward": generator.normal(size=n),
                "terminated": n == 2,
            }
            for n in (4, 2)
        ]
    )


@pytest.fixture
def path(tmp_path):
    return files.save(tmp_path / "demos.npz", make(CART), CART, {"expert": "ppo"})


def rewrite(path, **changes):
    """Replace members of an archive, with pickles allowed; None removes one."""
    with np.load(path) as archive:
        arrays = (
            {name: changes.get(name, archive[name]) for name in [*archive, *changes]}
            if (set(changes) <= set(archive))
            else {**archive, **changes}
        )
    np.savez_compressed(
        path, **{name: value for name, value in arrays.items() if value is not None}
    )


def edit_header(path, **changes):
    with np.load(path) as archive:
        header = json.loads(archive["header"].tobytes()) | changes
    rewrite(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8))


def assert_refused(path, message, spec=CART):
    with pytest.raises(UserError) as raised:
        demonstrations.load(path, spec)
    assert str(path) in str(raised.value)
    assert re.search(message, str(raised.value)), str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spec", [CART, ARM], ids=lambda spec: spec.name)
@pytest.mark.parametrize("is_spec_known", [True, False])
def test_what_is_saved_is_loaded(tmp_path, spec, is_spec_known):
    demos = make(spec)
    meta = {"return": np.float32(1.5), "seeds": [1, 2]}
    path = files.save(tmp_path / "new" / "demos.npz", demos, spec, meta)
    loaded, loaded_meta = demonstrations.load(path, spec if is_spec_known else None)
    jax.tree.map(np.testing.assert_array_equal, loaded, demos)
    assert loaded_meta == {"return": 1.5, "seeds": [1, 2]}
    assert [entry.name for entry in path.parent.iterdir()] == ["demos.npz"]


@pytest.mark.parametrize("spec", [CART, ARM], ids=lambda spec: spec.name)
def test_states_alone_are_saved_and_loaded(tmp_path, spec):
    watched = dataclasses.replace(make(spec), action=None)
    path = files.save(tmp_path / "demos.npz", watched, spec, {})
    found, _ = demonstrations.load(path, spec)
    assert found.action is None and files.describe(path)[0] == spec
    jax.tree.map(np.testing.assert_array_equal, found, watched)
    chosen = demonstrations.choose(found, 1, 2)
    assert chosen.action is None and chosen.obs.shape == (1, 5, 2)
    rewrite(path, reward=None)
    assert_refused(path, "expected the arrays action, header, .* found header, length", spec)


def test_a_file_says_where_it_was_recorded(tmp_path):
    path = files.save(tmp_path / "demos.npz", make(ARM), ARM, {"k": 1})
    assert files.describe(path) == (ARM, {"k": 1})


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(atomic.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match="disk full"):
        files.save(path, make(CART, seed=1), CART, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_missing_truncated_and_foreign_files(path, tmp_path):
    assert_refused(tmp_path / "absent.npz", "no such file")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert_refused(path, "not an .npz archive, or a truncated")
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(UserError):
        demonstrations.load(path)
    np.savez(path, observations=np.zeros(3), acts=np.zeros(3))
    assert_refused(path, "expected the arrays action, .* found acts, observations")


def test_pickles_are_never_loaded(path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    rewrite(path, action=np.array([Bomb()], dtype=object))
    assert_refused(path, "action holds pickled Python objects")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "pole"}, "expected environment 'pole', found 'cart'"),
        ({"backend": "spring"}, "expected backend 'spring', found ''"),
        ({"obs_shape": (3,)}, r"expected observation shape \(3,\), found \(2,\)"),
        ({"num_actions": 2}, "expected number of discrete actions 2, found 3"),
        ({"num_actions": None, "action_size": 1}, "expected number of discrete actions None"),
    ],
)
def test_another_environment_is_refused(path, changed, message):
    assert_refused(path, message, Spec(**{**vars(CART), **changed}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": np.array([4, 3], np.int32)}, r"action has shape \(6,\), expected \(7,\)"),
        ({"length": np.zeros(0, np.int32)}, "expected one episode or more"),
        ({"length": np.array([6, 0], np.int32)}, "episode 1 has 0 steps"),
        ({"length": np.array([7, -1], np.int32)}, "episode 1 has -1 steps"),
        ({"terminated": np.zeros(3, bool)}, r"terminated has shape \(3,\)"),
        ({"obs": np.zeros((8, 3), np.float32)}, r"obs has shape \(8, 3\), expected \(8, 2\)"),
        ({"obs": np.zeros((8, 2))}, "obs has dtype float64, expected float32"),
        ({"action": np.zeros(6, np.float32)}, "action has dtype float32, expected int32"),
        ({"action": np.array([0, 1, 2, 0, 3, 0], np.int32)}, "action is 3 at step 0 of episode 1"),
        ({"action": np.array([0, -1, 2, 0, 0, 0], np.int32)}, "an index from 0 to 2"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, change, message):
    rewrite(path, **change)
    assert_refused(path, message)


def test_the_place_of_a_nan_is_named(path):
    with np.load(path) as archive:
        obs, reward = archive["obs"], archive["reward"]
    obs[6, 1] = np.nan  # episode 0 has observations 0 to 4, so this is the second of episode 1
    rewrite(path, obs=obs)
    assert_refused(path, r"obs is nan at step 1 of episode 1 \(counting from 0\), entry \(1,\)")
    obs[6, 1], reward[3] = 0, np.inf
    rewrite(path, obs=obs, reward=reward)
    assert_refused(path, "reward is inf at step 3 of episode 0")


def test_actions_beyond_the_bounds_are_clipped_or_refused(tmp_path):
    path = files.save(tmp_path / "demos.npz", make(ARM), ARM, {})
    action = np.zeros((6, 2), np.float32)
    action[5] = [1.00005, -2.0]
    rewrite(path, action=action)
    assert demonstrations.load(path, ARM)[0].action[1, 1].tolist() == [1.0, -2.0]
    action[5] = [1.01, 0.0]
    rewrite(path, action=action)
    assert_refused(path, "at step 1 of episode 1 .*expected between", ARM)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"num_actions": "many"},
        {"obs_shape": None},
        {"meta": 3},
        {"action_low": [0.0]},
    ],
)
def test_headers_that_make_no_sense_are_refused(path, change):
    edit_header(path, **change)
    assert_refused(path, "version 99" if "version" in change else "expected a header")


def replace_member(path, name, content):
    """Write one member of an archive byte by byte."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, old in members.items():
            archive.writestr(entry, content if entry == f"{name}.npy" else old)


def test_a_header_that_claims_more_than_the_file_has_allocates_nothing(path):
    stream = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2)}
    np.lib.format.write_array_header_1_0(stream, claim)
    replace_member(path, "obs", stream.getvalue() + b"\0" * 64)
    assert_refused(path, "obs claims shape .*, which 64 bytes do not fill")


def test_a_bomb_is_refused_before_it_is_unpacked(path):
    replace_member(path, "obs", b"\0" * (archives.FREE_BYTES + 1))
    assert_refused(path, "times the packed size")


def test_the_header_of_an_array_is_parsed_without_surprise(path):
    for content in (b"", b"\x93NUMPY\x01\x00\x05\x00{{{{(", b"\x93NUMPY\x03\x00\xff\xff\xff\xff"):
        replace_member(path, "obs", content)
        with pytest.raises(UserError):
            demonstrations.load(path)


def test_lengths_that_would_pad_beyond_memory_are_refused(path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 2000)  # the file itself unpacks to about 1500
    length = np.array([12] + [1] * 8, np.int32)
    rewrite(
        path,
        length=length,
        obs=np.zeros((29, 2), np.float32),
        action=np.zeros(20, np.int32),
        reward=np.zeros(20, np.float32),
        terminated=np.zeros(9, bool),
    )
    monkeypatch.setattr(archives, "_check_members", lambda *_: None)
    monkeypatch.setattr(archives, "MAX_BYTES", 9 * 13 * 16 - 1)  # E · (T + 1) · 16 bytes a row
    assert_refused(path, "padded to the longest episode")
    monkeypatch.setattr(archives, "MAX_BYTES", 9 * 13 * 16)
    assert demonstrations.load(path, CART)[0].obs.shape == (9, 13, 2)
