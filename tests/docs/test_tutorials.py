"""The tutorial notebooks run as they stand, and are stored without outputs.

Their code cells are executed in this process: a kernel of its own per notebook would import and
compile everything anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot as plt

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
pytestmark = pytest.mark.allow_rank_promotion  # a reader's own code is not held to our rules
NAMES = ("bc", "dagger", "maxent", "mce", "relent", "gail", "evil")


def cells(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return notebook["cells"]


def run(name: str) -> dict[str, Any]:
    """The names that a notebook leaves behind."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with plt.rc_context():
        for cell in cells(name):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"<{cell['id']} of {name}>", "exec"), names)
    plt.close("all")
    return names


def test_all_are_listed() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_clean(name: str) -> None:
    found = cells(name)
    assert len({cell["id"] for cell in found}) == len(found)
    assert found[0]["cell_type"] == "markdown" and found[0]["source"][0].startswith("# ")
    for cell in found:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_bc_needs_states_to_be_shown() -> None:
    names = run("bc")
    returns = names["found"].value
    assert returns[0] < -10.0 and returns[-1] > 6.0
    assert names["lost"][0] > names["lost"][-1]


def test_dagger_comes_close_to_the_expert_and_so_does_its_control() -> None:
    exact = run("dagger")["metrics"]["exact"]
    assert (exact[:, 0] < -10.0).all() and (exact[:, -1] > 6.0).all()
    ours, control = exact[:, -5:].mean(axis=1)
    assert ours > control  # which the figure shows


def test_maxent_comes_close_to_the_expert() -> None:
    assert run("maxent")["metrics"]["agent/return"][-1] > 7.0


def test_mce_comes_close_to_the_expert() -> None:
    names = run("mce")
    assert abs(names["gradient"] - names["visits"]).max() < 1e-3
    assert names["metrics"]["agent/return"][-1] > 7.0


def test_relent_is_far_above_random_actions() -> None:
    assert run("relent")["metrics"]["agent/return"][-1] > 0.0


def test_gail_learns_where_to_go() -> None:
    history = run("gail")["history"]
    assert history[-1]["exact"] > 0.0 > history[0]["exact"]


def test_the_main_path_recovers_a_reward_that_teaches() -> None:
    names = run("evil")
    assert names["curves"]["agent/return"][:, -1].mean() > 200.0
