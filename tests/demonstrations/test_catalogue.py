import json

import numpy as np
import pytest

from evil import demonstrations
from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.seams import Spec

SPEC = Spec(name="cart", obs_shape=(2,), time_limit=9, num_actions=3, backend="spring")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "root", lambda: tmp_path / "experts")
    return tmp_path / "experts"


def write(tmp_path, content, seed=0):
    policy = tmp_path / "policy.safetensors"
    policy.write_bytes(b"weights")
    obs = np.random.default_rng(seed).normal(size=(4, 2))
    demos = demonstrations.from_episodes([{"obs": obs, "action": np.zeros(3, int)}])
    return catalogue.write(SPEC, demos, [policy], content), demos


def test_what_is_written_is_available(tmp_path, root):
    assert catalogue.available() == ()
    folder, demos = write(tmp_path, {"return_mean": 3.0})
    assert folder == root / "cart_spring" == catalogue.directory("cart", "spring")
    assert catalogue.available() == ("cart_spring",)
    found, card = catalogue.demonstrations(SPEC)
    np.testing.assert_array_equal(found.obs, demos.obs)
    assert card["return_mean"] == 3.0 and card["env"] == "cart" and card["backend"] == "spring"
    assert set(card["sha256"]) == {"policy.safetensors", "demonstrations.npz"}
    assert {path.name for path in folder.iterdir()} == {*card["sha256"], "card.json"}


def test_writing_again_replaces_and_leaves_nothing_behind(tmp_path, root):
    write(tmp_path, {"return_mean": 3.0})
    write(tmp_path, {"return_mean": 4.0}, seed=1)
    assert catalogue.card(SPEC)["return_mean"] == 4.0
    assert [path.name for path in root.iterdir()] == ["cart_spring"]


def test_a_failed_write_leaves_the_old_expert(tmp_path, root):
    write(tmp_path, {"return_mean": 3.0})
    demos = catalogue.demonstrations(SPEC)[0]
    with pytest.raises(FileNotFoundError):
        catalogue.write(SPEC, demos, [tmp_path / "absent"], {})
    assert catalogue.card(SPEC)["return_mean"] == 3.0
    assert [path.name for path in root.iterdir()] == ["cart_spring"]


def test_a_missing_expert_says_which_there_are_and_how_to_make_one(tmp_path, root):
    write(tmp_path, {})
    other = Spec(name="pole", obs_shape=(2,), time_limit=9, num_actions=3)
    with pytest.raises(UserError, match=r"pole .available: cart_spring.*--env pole`, or .*--demos"):
        catalogue.demonstrations(other)


@pytest.mark.parametrize("name", ["policy.safetensors", "demonstrations.npz"])
def test_a_file_that_the_card_does_not_vouch_for_is_refused(tmp_path, root, name):
    folder, _ = write(tmp_path, {})
    with (folder / name).open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(UserError, match=f"{name}: expected SHA-256"):
        catalogue.demonstrations(SPEC)
    (folder / name).unlink()
    with pytest.raises(UserError, match="found no such file"):
        catalogue.card(SPEC)


@pytest.mark.parametrize(
    "content",
    ["[]", "{", "{}", '{"sha256": {}}', '{"sha256": {"demonstrations.npz": "", "../x": ""}}'],
)
def test_a_card_that_makes_no_sense_is_refused(tmp_path, root, content):
    folder, _ = write(tmp_path, {})
    (folder / "card.json").write_text(content)
    with pytest.raises(UserError, match="expected a JSON object"):
        catalogue.card(SPEC)


def test_names_stay_inside_the_root(root):
    assert catalogue.directory("../../etc", "x").parent == root


def test_shipped_experts_load():
    """Whatever lies in the repository is complete and vouched for."""
    for name in catalogue.available():
        content = json.loads((catalogue.root() / name / "card.json").read_text())
        assert catalogue.directory(content["env"], content["backend"]).name == name
        demos, _ = demonstrations.load(catalogue.root() / name / "demonstrations.npz")
        assert len(demos.length) > 0
