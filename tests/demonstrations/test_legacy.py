"""Pickled experts: the arrays that are read of them, and what is refused without being called."""

from __future__ import annotations

import io
import os
import pickle
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from evil import demonstrations
from evil.demonstrations import pickled
from evil.errors import UserError
from scripts import convert_demos
from tests.demonstrations.test_files import ARM, CART
from tests.scripts.starting import start


def expert(spec, *, as_jax=False):
    """Two trajectories of four steps; the first ends an episode with its second step."""
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(2, 4, *spec.obs_shape)).astype(np.float32)
    if spec.is_discrete:
        action = rng.integers(spec.num_actions, size=(1, 4, 2)).astype(np.int32)
    else:
        action = 3.0 * rng.normal(size=(4, 2, spec.action_size)).astype(np.float32)
    done = np.zeros((4, 2), np.float32)
    done[1, 0] = 1.0
    arrays = {
        "expert_obsv": obs,
        "expert_actions": action,
        "expert_rewards": np.arange(8.0).reshape(4, 2),
        "expert_dones": done,
        "norm_mean": np.float32(0.5),
    }
    if as_jax:
        arrays = jax.tree.map(jnp.asarray, arrays)
    return arrays | {"returns": [0.5, 1.0], "expert_params": FrozenDict({"params": {"w": obs}})}


def written(tmp_path, content, protocol=4):
    path = tmp_path / "expert.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("as_jax", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("spec", [CART, ARM])
def test_episodes_of_an_expert_are_read(tmp_path, spec, protocol, as_jax):
    content = expert(spec)
    path = written(tmp_path, expert(spec, as_jax=as_jax), protocol)
    demos, _ = demonstrations.load(path, spec)
    # An episode of two steps, of which the last led nobody knows where; then of two, and of four.
    assert demos.length.tolist() == [1, 1, 3]
    np.testing.assert_array_equal(demos.obs[2, :4], content["expert_obsv"][1])
    np.testing.assert_array_equal(demos.reward[2, :3], [1.0, 3.0, 5.0])
    actions = content["expert_actions"]
    actions = (
        actions[0] if spec.is_discrete else np.clip(actions, spec.action_low, spec.action_high)
    )
    np.testing.assert_array_equal(demos.action[2, :3], actions[:3, 1])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.zeros((0, 3), np.float16),
        np.array([True, False]),
        np.float32(0.25),
        np.arange(40, dtype=np.uint8)[::3],
    ],
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_are_those_that_were_written(tmp_path, array, protocol):
    found = pickled.read(written(tmp_path, {"x": array, "again": [array]}, protocol))["x"]
    assert found.dtype == np.asarray(array).dtype
    np.testing.assert_array_equal(found, array)


def test_a_file_of_an_older_numpy_is_read(tmp_path):
    content = pickle.dumps({"x": np.arange(3)}, 4)
    old = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    assert old != content
    # The frame is one byte shorter, which nobody checks who reads it as a whole.
    old = old[:3] + struct.pack("<Q", len(old) - 11) + old[11:]
    np.testing.assert_array_equal(pickled.read(written(tmp_path, old))["x"], np.arange(3))


class Calling:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Filled:
    """Pickles as an array with any description."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        function, arguments, _ = np.zeros(3).__reduce__()
        return function, arguments, self.state


F4 = np.dtype("f4")
MANY = b"(" + b"]" * (pickled.MAX_OPCODES + 1)
DEEP = b"\x80\x04}\x8c\x01x" + b"]" * 50_000 + b"a" * 49_999 + b"s."
# t = (t, t) a hundred times over: 2^100 leaves by reference.
LAUGHS = b"\x80\x04})" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(100)) + b"Ns."
COPIES = (
    b"\x80\x02}X\x01\x00\x00\x00xc_codecs\nencode\nq\x00X\x00\x00\x10\x00" + b"a" * 2**20 + b"q\x01"
    b"X\x06\x00\x00\x00latin1q\x02\x86q\x03R" + b"(" + b"h\x00h\x03R" * 10_000 + b"ts."
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"x": Calling(os.system, "touch executed")}, "'posix.system', and only arrays"),
        ({"x": Calling(eval, "1")}, "'builtins.eval', and only arrays"),
        ({"x": Calling(getattr, "x", "load")}, "'builtins.getattr'"),
        ({"x": Calling(np.load, "x.npy", None, True)}, "only arrays are admitted"),
        ({"x": np.array([{}], object)}, "is of dtype 'O8'"),
        ({"x": np.array(["a"])}, "is of dtype 'U1'"),
        ({"x": np.zeros(2, [("a", "f4")])}, "is of dtype 'V4'"),
        ({"x": Filled(1, (2**62,), F4, False, b"")}, "claims shape"),
        ({"x": Filled(1, (-3,), F4, False, b"")}, "no shape"),
        ({"x": Filled(1, (2**40, 2**40, 0), F4, False, b"1234")}, "claims shape"),
        ({"x": Filled(1, (1,), F4, False, "text")}, "holds objects"),
        ({"x": Filled(1, (1,) * 40, F4, False, b"1234")}, "no shape"),
        ({"x": {(1, 2): 3}}, "a key is tuple"),
        ([np.zeros(3)], "expected a dict of arrays, found list"),
        ({"x": {1, 2}}, "no opcode EMPTY_SET"),
        ({"x": complex(1, 2)}, "'builtins.complex'"),
        (b"", "not a pickle"),
        (b"\x80\x04K", "not a pickle"),
        (b"\x80\x04.", "not a pickle"),
        (b"\x80\x04h\x07.", "not a pickle"),
        (b"\x80\x04R.", "not a pickle"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"x.", "not a pickle"),  # text of 2^64 bytes
        (b"\x80\x04\x8b\xff\xff\xff\x7f1.", "no opcode LONG4|not a pickle"),
        (b"cos\nsystem\n(S'touch executed'\ntR.", "'os.system'"),
        (b"(S'touch executed'\nios\nsystem\n.", "no opcode"),
        (MANY, "more than 1000000 instructions"),
        (LAUGHS, "a key is tuple"),
        (COPIES, "more memory than its own size"),
    ],
)
def test_what_is_not_an_array_is_refused_and_nothing_is_called(
    tmp_path, monkeypatch, content, said
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as refused:
        pickled.read(written(tmp_path, content))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


def test_a_deep_nest_is_read_without_recursion(tmp_path):
    assert list(pickled.read(written(tmp_path, DEEP))) == ["x"]


def test_a_file_that_would_execute_does_execute_elsewhere(tmp_path, monkeypatch):
    """The first case above is a real one: otherwise that it is refused would prove nothing."""
    monkeypatch.chdir(tmp_path)
    pickle.load(io.BytesIO(pickle.dumps(Calling(os.system, "touch executed"))))
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expert_obsv": None}, "an array expert_obsv, found none"),
        ({"expert_obsv": np.zeros((2, 4, 9))}, r"expected \(N, T, 2\)"),
        ({"expert_actions": np.zeros((2, 4), np.int32)}, r"expected \(4, 2\)"),
        ({"expert_actions": np.zeros((4, 2), np.float32)}, "dtype float32, not of"),
        ({"expert_actions": np.full((4, 2), 7)}, "expected an index"),
        ({"expert_rewards": np.full((4, 2), np.nan)}, "reward is nan"),
        ({"expert_actions": np.full((4, 2), 2**40)}, "beyond 32 bits"),
        ({"expert_obsv": np.full((2, 4, 2), 1e300)}, "obs is inf"),
        ({"expert_dones": np.ones((4, 2))}, "expected an episode of two steps"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, said):
    path = written(tmp_path, expert(CART) | changes)
    with pytest.raises(UserError, match=said):
        demonstrations.load(path, CART)


def test_convert_demos_takes_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setattr("evil.environments.make", lambda *names: type("Env", (), {"spec": CART}))
    path = written(tmp_path, expert(CART))
    start(convert_demos, "--env", "cart", "--demos", path, "--out", tmp_path / "demos.npz")
    demos, meta = demonstrations.load(tmp_path / "demos.npz", CART)
    assert demos.length.tolist() == [1, 1, 3] and meta["converted_from"] == str(path)
