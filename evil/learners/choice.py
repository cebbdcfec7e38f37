"""The learners that there are to choose from, as the type of a field that admits any of them."""

from __future__ import annotations

from typing import TypeAlias

from evil.learners import ppo, sac

AnyConfig: TypeAlias = ppo.Config | sac.Config
