import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from evil.errors import UserError
from evil.pytrees import pytree
from evil.running import weights


@pytree
class Normaliser:
    mean: jax.Array
    count: jax.Array


def make():
    return {
        "params": {"Dense_0": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}},
        "normaliser": Normaliser(mean=jnp.zeros(2), count=jnp.int32(7)),
        "heads": [jnp.array([True, False])],
    }


@pytest.fixture
def path(tmp_path):
    return weights.save(tmp_path / "policy", make(), {"hidden": [64, 64]})


def assert_refused(path, message, like=None):
    with pytest.raises(UserError, match=message) as raised:
        weights.load(path, like)
    assert str(path) in str(raised.value)


def test_what_is_saved_is_loaded_into_the_same_structure(path):
    tree, meta = weights.load(path, jax.eval_shape(make))
    assert jax.tree.structure(tree) == jax.tree.structure(make())
    jax.tree.map(np.testing.assert_array_equal, tree, make())
    assert jax.tree.map(lambda x: x.dtype, tree) == jax.tree.map(lambda x: x.dtype, make())
    assert meta == {"hidden": [64, 64]} == weights.describe(path)


def test_without_a_target_names_become_nested_dicts(path):
    tree, _ = weights.load(path.with_suffix(""))
    np.testing.assert_array_equal(tree["params"]["Dense_0"]["kernel"], [[0, 1, 2], [3, 4, 5]])
    assert tree["normaliser"]["count"].shape == () and int(tree["normaliser"]["count"]) == 7
    assert set(tree["heads"]) == {"0"}


def test_the_json_beside_describes_the_arrays(path):
    description = json.loads(path.with_suffix(".json").read_text())
    assert description["arrays"]["params/Dense_0/kernel"] == ["float32", 2, 3]
    assert description["meta"] == {"hidden": [64, 64]}


def test_a_transposed_array_keeps_its_values(tmp_path):
    transposed = np.arange(6.0, dtype=np.float32).reshape(2, 3).T
    path = weights.save(tmp_path / "t", {"x": transposed}, {})
    np.testing.assert_array_equal(weights.load(path)[0]["x"], transposed)


def test_an_empty_tree_has_an_empty_file(tmp_path):
    path = weights.save(tmp_path / "reward", (), {"kind": "real"})
    assert weights.load(path, ()) == ((), {"kind": "real"})
    assert_refused(path, "lacks the array 'x'", {"x": jnp.zeros(1)})


def test_dots_in_a_name_are_not_a_suffix(tmp_path):
    assert weights.save(tmp_path / "lr0.1", {}, {}).name == "lr0.1.safetensors"


def test_missing_and_truncated_files(path, tmp_path):
    assert_refused(tmp_path / "absent.safetensors", "no such file")
    path.write_bytes(path.read_bytes()[:-4])
    assert_refused(path, "not a safetensors file, or a truncated one")
    path.write_bytes(b"")
    assert_refused(path, "not a safetensors file, or a truncated one")


def test_too_large_a_file_is_not_opened(path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 10)
    assert_refused(path, "expected at most 10 bytes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": jnp.zeros(1)}, "lacks the array 'extra'"),
        ({"heads": []}, "unexpectedly has the array 'heads/0'"),
        ({"heads": [jnp.zeros(3, bool)]}, r"'heads/0' has shape \(2,\), expected \(3,\)"),
        ({"heads": [jnp.zeros(2)]}, "'heads/0' has dtype bool, expected float32"),
    ],
)
def test_another_tree_is_refused(path, change, message):
    assert_refused(path, message, jax.eval_shape(lambda: make() | change))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    path = weights.save(tmp_path / "p", {"a": jnp.array([[0.0, jnp.nan]])}, {})
    assert_refused(path, r"'a' is nan at \(0, 1\)")


def test_foreign_metadata_is_refused(path):
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(1)}))
    assert_refused(path, "its metadata lack")


def test_names_that_contradict_each_other_are_refused(path):
    named = {"a": np.zeros(1, np.float32), "a/b": np.zeros(1, np.float32)}
    path.write_bytes(safetensors.numpy.save(named, metadata={"meta": "{}"}))
    with pytest.raises(UserError):
        weights.load(path)


def test_a_dtype_that_numpy_lacks_is_refused(path):
    header = json.dumps(
        {
            "__metadata__": {"meta": "{}"},
            "x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]},
        }
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    assert_refused(path, "'x'")


def test_two_leaves_of_one_name_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="same name"):
        weights.save(tmp_path / "p", {"a/b": jnp.zeros(1), "a": {"b": jnp.zeros(1)}}, {})
