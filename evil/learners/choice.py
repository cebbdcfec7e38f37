"""The learners that there are to choose from, as the type of a field that admits any of them.

Their configs have one name between them, so command lines are told another.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from tyro.conf import subcommand

from evil.learners import ppo, sac

AnyConfig: TypeAlias = (
    Annotated[ppo.Config, subcommand("ppo")] | Annotated[sac.Config, subcommand("sac")]
)
