"""The rewards that there are to choose from, as the type of a field that admits any of them.

Their configs have one name between them, so command lines are told another.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from tyro.conf import subcommand

from evil.rewards import (
    adversarial,
    coupling,
    disagreement,
    ensemble,
    fixed,
    kernel,
    labels,
    moment_matching,
    support,
)

AnyConfig: TypeAlias = (
    Annotated[ensemble.Config, subcommand("ensemble")]
    | Annotated[moment_matching.Config, subcommand("moment_matching")]
    | Annotated[adversarial.Config, subcommand("adversarial")]
    | Annotated[kernel.Config, subcommand("kernel")]
    | Annotated[support.Config, subcommand("support")]
    | Annotated[disagreement.Config, subcommand("disagreement")]
    | Annotated[coupling.Config, subcommand("coupling")]
    | Annotated[labels.Config, subcommand("labels")]
    | Annotated[fixed.Config, subcommand("fixed")]
)
