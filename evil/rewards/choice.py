"""The rewards that there are to choose from, as the type of a field that admits any of them."""

from __future__ import annotations

from typing import TypeAlias

from evil.rewards import (
    adversarial,
    coupling,
    disagreement,
    ensemble,
    kernel,
    labels,
    moment_matching,
    support,
)

AnyConfig: TypeAlias = (
    ensemble.Config
    | moment_matching.Config
    | adversarial.Config
    | kernel.Config
    | support.Config
    | disagreement.Config
    | coupling.Config
    | labels.Config
)
