"""What docstrings claim can be looked up: every citation key stands in evil/citations.bib."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIBLIOGRAPHY = ROOT / "evil" / "citations.bib"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def cited(text: str) -> Iterator[str]:
    """The keys after `Reference:` in a file's docstrings, or the words that should be keys.

    Several keys are separated by commas; a remark in brackets may follow each.
    """
    for node in ast.walk(ast.parse(text)):
        docstring = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        for line in re.findall(r"^[ \t]*References?:(.*)$", docstring or "", re.MULTILINE):
            keys = re.sub(r"\([^)]*\)", "", line).strip(" \t.").split(",")
            yield from (key.strip() for key in keys)


def entries(bibliography: str) -> list[str]:
    """The keys of all BibTeX entries, in order."""
    return re.findall(r"^@\w+\s*\{\s*([^,\s]+)\s*,", bibliography, re.MULTILINE)


def test_citations_resolve() -> None:
    uses = {
        f"{path.relative_to(ROOT)}: {key!r}": key
        for folder in ("evil", "plotting", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for key in cited(path.read_text(encoding="utf-8"))
    }
    assert BIBLIOGRAPHY.exists() or not uses, f"no {BIBLIOGRAPHY}, but citations: {list(uses)}"
    known = entries(BIBLIOGRAPHY.read_text(encoding="utf-8")) if uses else []
    unknown = [use for use, key in uses.items() if key not in known]
    assert not unknown, f"not in {BIBLIOGRAPHY.name}: {unknown}"


def test_bibliography_has_no_duplicates() -> None:
    if BIBLIOGRAPHY.exists():
        keys = entries(BIBLIOGRAPHY.read_text(encoding="utf-8"))
        assert keys
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("docstring", "keys"),
    [
        ("GAE.\n\n    Reference: schulman2016gae\n", ["schulman2016gae"]),
        ("References: a2020x (eq. 3, p. 4), b2021y.", ["a2020x", "b2021y"]),
        (
            "Reference: Schulman et al. 2016",
            ["Schulman et al. 2016"],
        ),  # not a key: will not resolve
        ("Reference:\n    schulman2016gae", [""]),  # nor is nothing
        ("No reference here.", []),
    ],
)
def test_citations_are_found(docstring: str, keys: list[str]) -> None:
    assert list(cited(f'def f():\n    """{docstring}"""')) == keys


def test_entries_are_found() -> None:
    assert entries("@article{a2020x,\n title={T}}\n@misc{ b2021y , title={T}}") == [
        "a2020x",
        "b2021y",
    ]
