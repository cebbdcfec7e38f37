"""The program in the README is run as it stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def example() -> str:
    text = README.read_text()
    body = text.split("<!-- example: begin -->")[1].split("<!-- example: end -->")[0]
    return body.split("```python")[1].split("```")[0]


def test_the_example_is_short() -> None:
    code = [line for line in example().splitlines() if line.strip()]
    assert len(code) <= 20


@pytest.mark.allow_rank_promotion  # the user's own program is not held to our rules
def test_the_example_learns() -> None:
    names: dict[str, Any] = {}
    exec(example(), names)
    returns = names["metrics"]["agent/return"]
    assert returns.shape == (4, 60)
    # Random actions from random starts get about -10, standing still wherever one starts as much.
    assert (returns[:, -1] > -5.0).all(), returns[:, -1]
