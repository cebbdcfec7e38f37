"""Starting a script's `main` in this process, as if from a command line."""

import json
import sys
from pathlib import Path

import pytest


def start(script, *options):
    """Run the module `script` with these options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script.__name__, *map(str, options)])
        script.main()


def summary_of(path: Path) -> dict:
    """What a run says of itself."""
    return json.loads((path / "summary.json").read_text())
