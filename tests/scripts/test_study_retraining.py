"""The study of recipes: rows are runs, none is repeated, and the table says what they found."""

import dataclasses
import json

import pytest

from evil import environments
from evil.errors import UserError
from evil.experiments.series import study
from evil.experiments.settings.recipes import ROWS
from evil.imitation import irl
from plotting import retraining
from scripts import study_retraining


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return study.Config(
        envs=("gridworld",),
        rows=("sigmoid", "default"),
        preset="smoke",
        num_seeds=2,
        num_retrained=2,
        out=str(tmp_path_factory.mktemp("study")),
    )


@pytest.fixture(scope="module")
def table(config):
    return json.loads(study.carry_out(config).read_text())["rows"]


def test_every_row_is_a_line(table):
    assert [row["row"] for row in table] == ["default", "sigmoid"]  # the baseline first
    for row in table:
        assert len(row["irl"]) == 2 and len(row["retrain"]) == 4
        assert set(row["recovered"]) == {"expert", "irl", "retrain"}
        assert 0.0 <= row["epic"] <= 1.0
        assert row["correlation"] is None  # nothing to correlate with in a gridworld
    # The real reward and survival are trained on once, not for every recipe.
    assert len(table[0]["rl"]) == len(table[0]["survival"]) == 2
    assert table[1]["rl"] is None and table[1]["survival"] is None


def test_rows_are_not_repeated(config, table, monkeypatch):
    monkeypatch.setattr(study, "run_row", lambda *_: pytest.fail("ran again"))
    monkeypatch.setattr(study, "epic", lambda *_: pytest.fail("measured again"))
    assert json.loads(study.carry_out(config).read_text())["rows"] == table


def test_a_row_more_keeps_the_others_in_the_table(config, table):
    one = dataclasses.replace(config, rows=("sigmoid",))
    assert json.loads(study.carry_out(one).read_text())["rows"] == table


def test_another_config_does_not_take_over_a_study(config, table):
    with pytest.raises(UserError, match="was run with seed=1, now asked for seed=2"):
        study.carry_out(dataclasses.replace(config, seed=2))


def test_the_table_is_shown_and_drawn(config, table, capsys):
    study_retraining.show(table)
    said = capsys.readouterr().out
    assert "sigmoid" in said and "survival" in said
    axes = retraining.figure(config.out).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["default", "sigmoid"]
    assert retraining.draw(config.out).stat().st_size > 10_000


def test_without_environments_there_is_no_study(tmp_path):
    with pytest.raises(UserError, match="no environment is named"):
        study.carry_out(study.Config(envs=(), out=str(tmp_path / "study")))


def test_the_table_says_how_it_was_made(config, table):
    assert [row["made"]["seed"] for row in table] == [1, 1]
    assert [row["made"]["preset"] for row in table] == ["smoke", "smoke"]


def test_an_unknown_row():
    with pytest.raises(UserError, match="unknown recipe 'publshed': did you mean published"):
        study.chosen(("publshed",))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_recipe_can_be_made(row):
    config = study.config_of(study.Config(preset="smoke"), "gridworld", row)
    irl.make(config.algorithm, environments.make("gridworld"))
    compared = row.name == "default"
    assert config.recipe == row.recipe
    assert config.baselines == compared and (config.bc_iterations > 0) == compared


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)
