"""Datasets of Minari and files of D4RL: what they hold, and what is refused of them."""

import dataclasses
import json

import h5py
import jax
import numpy as np
import pytest

from evil import demonstrations, environments
from evil.demonstrations import checks, d4rl, minari
from evil.errors import UserError
from scripts import convert_demos
from tests.demonstrations.test_files import ARM, CART, make
from tests.scripts.starting import start

STEPS = {  # two episodes: one of three steps that is cut, one of two that terminates
    "observations": np.arange(10.0).reshape(5, 2),
    "next_observations": np.arange(10.0).reshape(5, 2) + 100.0,
    "actions": np.linspace(-1.0, 1.0, 10).reshape(5, 2),
    "rewards": np.arange(5.0),
    "terminals": np.array([0, 0, 0, 0, 1], bool),
    "timeouts": np.array([0, 0, 1, 0, 0], bool),
}


def same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def write(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("spec", [CART, ARM])
def test_what_is_written_for_minari_is_read_again(tmp_path, spec):
    demos = make(spec)
    folder = minari.save(tmp_path / "data-v0", demos, spec, name="evil/data-v0")
    for path in (folder, folder / "data"):
        found, meta = demonstrations.load(path, spec)
        same(found, demos)
        assert meta["total_episodes"] == 2 and meta["total_steps"] == 6


def test_minari_itself_reads_what_is_written(tmp_path, monkeypatch):
    package = pytest.importorskip("minari")
    demos = make(ARM)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    minari.save(tmp_path / "evil" / "arm-v0", demos, ARM, name="evil/arm-v0")
    first, second = package.load_dataset("evil/arm-v0").iterate_episodes()
    np.testing.assert_array_equal(first.observations, demos.obs[0])
    assert not first.terminations.any() and first.truncations[-1]
    assert second.terminations.tolist() == [False, True] and not second.truncations.any()


def test_episodes_are_in_the_order_of_their_numbers(tmp_path):
    episodes = [{"obs": np.full((2, 2), i), "action": np.zeros((1, 2))} for i in range(11)]
    demos = demonstrations.from_episodes(episodes)
    folder = minari.save(tmp_path / "data-v0", demos, ARM, name="data-v0")
    assert demonstrations.load(folder, ARM)[0].obs[:, 0, 0].tolist() == list(range(11))


def test_d4rl_by_hand(tmp_path):
    found, _ = d4rl.load(write(tmp_path / "arm.hdf5", STEPS), ARM)
    assert found.length.tolist() == [3, 2] and found.terminated.tolist() == [False, True]
    assert found.obs[0, :, 0].tolist() == [0, 2, 4, 104]  # its last successor, not the next start
    assert found.obs[1, :3, 0].tolist() == [6, 8, 108]
    assert found.reward[1, :2].tolist() == [3, 4]


def test_d4rl_without_successors_leaves_out_last_steps_but_those_that_terminated(tmp_path):
    some = {k: v for k, v in STEPS.items() if k != "next_observations"}
    found, _ = d4rl.load(write(tmp_path / "arm.hdf5", some), ARM)
    assert found.length.tolist() == [2, 2] and found.terminated.tolist() == [False, True]
    assert found.obs[0, :, 0].tolist() == [0, 2, 4]
    assert found.obs[1, :, 0].tolist() == [6, 8, 8]  # what follows a fall is read by nobody
    last = demonstrations.transitions(found, np.array([2, 3]))
    assert last.terminated.tolist() == [False, True]


def test_steps_after_the_last_end_are_left_out(tmp_path):
    some = STEPS | {"terminals": np.zeros(5, bool)}
    found, _ = d4rl.load(write(tmp_path / "arm.h5", some), ARM)
    assert found.length.tolist() == [3] and found.terminated.tolist() == [False]


def test_d4rl_and_minari_may_be_of_states_alone(tmp_path):
    some = {k: v for k, v in STEPS.items() if k != "actions"}
    found, _ = demonstrations.load(write(tmp_path / "arm.hdf5", some), ARM)
    whole, _ = demonstrations.load(write(tmp_path / "whole.hdf5", STEPS), ARM)
    assert found.action is None and whole.action is not None
    same(found, dataclasses.replace(whole, action=None))
    folder = minari.save(tmp_path / "data-v0", found, ARM, name="data-v0")
    same(demonstrations.load(folder, ARM)[0], found)


def test_actions_of_some_episodes_are_refused(dataset):
    with h5py.File(dataset / "data" / minari.FILE, "a") as file:
        del file["episode_1/actions"]
    with pytest.raises(UserError, match="1 of 2 episodes have actions, expected all or none"):
        demonstrations.load(dataset, ARM)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rewards": None}, "expected an array /rewards, found none"),
        ({"rewards": np.arange(4.0)}, r"/rewards has shape \(4,\), expected \(5,\)"),
        (
            {"observations": np.zeros((5, 3))},
            r"shape \(5, 3\), expected \(5, 2\)",
        ),
        ({"observations": np.full((5, 2), np.nan)}, "obs is nan at step 0 of episode 0"),
        ({"actions": np.full((5, 2), 3.0)}, "action is .* expected between"),
        ({"rewards": np.array([b"a"] * 5)}, "dtype .*, expected numbers"),
        ({"observations": np.zeros((0, 2))}, "has no rows"),
        (
            {
                "timeouts": np.ones(5, bool),
                "terminals": np.zeros(5, bool),
                "next_observations": None,
            },
            "episode of two steps",
        ),
        ({"timeouts": None, "terminals": np.zeros(5, bool)}, "no step is marked as the last"),
    ],
)
def test_what_is_wrong_with_a_file_of_d4rl_is_said(tmp_path, changes, said):
    arrays = {k: v for k, v in (STEPS | changes).items() if v is not None}
    with pytest.raises(UserError, match=said):
        demonstrations.load(write(tmp_path / "arm.hdf5", arrays), ARM)


@pytest.fixture
def dataset(tmp_path):
    return minari.save(tmp_path / "data-v0", make(ARM), ARM, name="data-v0")


def test_an_episode_that_goes_on_after_its_end_is_refused(dataset):
    with h5py.File(dataset / "data" / minari.FILE, "a") as file:
        file["episode_0/terminations"][1] = True
    with pytest.raises(UserError, match="episode_0 goes on after it terminated"):
        demonstrations.load(dataset, ARM)


def test_another_environments_dataset_is_refused(dataset):
    path = dataset / "data" / minari.METADATA
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"env_spec": '{"id": "ns/Arm-v5", "x": 1}'}))
    demonstrations.load(dataset, ARM)
    path.write_text(json.dumps(meta | {"env_spec": '{"id": "Walker2d-v5"}'}))
    with pytest.raises(UserError, match="expected environment 'arm', found 'Walker2d'"):
        demonstrations.load(dataset, ARM)


@pytest.mark.parametrize("name", ["Hopper", "HalfCheetah", "Walker2d", "Ant", "Humanoid"])
@pytest.mark.parametrize("version", [4, 5])
def test_gymnasiums_names_are_those_of_brax(tmp_path, name, version):
    spec = dataclasses.replace(ARM, name=name.lower())
    assert spec.name in environments.names()
    checks.gymnasium_name(tmp_path, json.dumps({"id": f"{name}-v{version}"}), spec)


@pytest.mark.parametrize("is_detour", [False, True])
def test_nothing_is_read_from_other_files(dataset, tmp_path, is_detour):
    secret = write(tmp_path / "secret.hdf5", {"x": np.zeros((2, 2))})
    with h5py.File(dataset / "data" / minari.FILE, "a") as file:
        del file["episode_1/actions"]
        file["ext"] = h5py.ExternalLink(secret, "/")
        soft, external = h5py.SoftLink("/ext/x"), h5py.ExternalLink(secret, "/x")
        file["episode_1/actions"] = soft if is_detour else external
    with pytest.raises(UserError, match="is a link"):
        demonstrations.load(dataset, ARM)


def test_what_is_not_stored_does_not_unpack(tmp_path):
    path = tmp_path / "arm.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("observations", (10_000_000, 2), "f4", chunks=(1000, 2))
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match="of which 0 are stored"):
        demonstrations.load(path, ARM)


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (np.full(5, 2**32, np.int64), "beyond 32 bits"),
        (np.zeros(5), "dtype float64, expected integers"),
        (np.full(5, 3), "action is 3 at"),
    ],
)
def test_choices_are_whole_numbers_that_exist(tmp_path, actions, said):
    with pytest.raises(UserError, match=said):
        demonstrations.load(write(tmp_path / "cart.hdf5", STEPS | {"actions": actions}), CART)


def test_whole_rewards_become_floats(tmp_path):
    some = STEPS | {"rewards": np.arange(5), "observations": np.zeros((5, 2), np.int64)}
    found, _ = demonstrations.load(write(tmp_path / "arm.hdf5", some), ARM)
    assert found.reward.dtype == found.obs.dtype == np.float32


def test_foreign_files_need_an_environment_and_folders_a_dataset(dataset, tmp_path):
    with pytest.raises(UserError, match="expected the environment"):
        demonstrations.load(dataset)
    with pytest.raises(UserError, match="found a folder"):
        demonstrations.load(tmp_path, ARM)
    (tmp_path / "text.hdf5").write_text("no")
    with pytest.raises(UserError, match="not an HDF5 file"):
        demonstrations.load(tmp_path / "text.hdf5", ARM)


def test_conversion_there_and_back(tmp_path):
    folder, file = tmp_path / "hopper-v0", tmp_path / "hopper.npz"
    start(convert_demos, "--env", "hopper", "--out", folder)
    start(convert_demos, "--env", "hopper", "--demos", folder, "--out", file)
    from evil.demonstrations import catalogue, load
    from evil.environments import make as environment

    spec = environment("hopper").spec
    same(load(file, spec)[0], catalogue.demonstrations(spec)[0])
    with pytest.raises(UserError, match="already exists"):
        start(convert_demos, "--env", "hopper", "--out", file)
