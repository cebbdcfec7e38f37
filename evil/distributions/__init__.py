"""Policy distributions: what turns a network's output into actions and log-probabilities.

`make(name, spec)` gives a `Family`. A family samples *latents* and maps them to the actions that
are applied; learners store latents, so that no log-probability is ever taken at a clipped or
squashed boundary.
"""

from __future__ import annotations

from evil.distributions.family import Family as Family
from evil.errors import UserError, unknown
from evil.seams import Spec

NAMES = ("auto", "categorical", "gaussian", "tanh_gaussian")


def resolve(name: str, spec: Spec) -> str:
    """`auto` by an environment's actions, categorical or gaussian; any other name as it is."""
    if name == "auto":
        return "categorical" if spec.is_discrete else "gaussian"
    return name


def make(name: str, spec: Spec) -> Family:
    """The family `name` for an environment; `auto` is categorical or gaussian by its actions."""
    from evil.distributions import categorical, gaussian, tanh_gaussian

    if name not in NAMES:
        raise unknown("policy distribution", name, NAMES)
    name = resolve(name, spec)
    if (name == "categorical") != spec.is_discrete:
        kind = "discrete actions" if spec.is_discrete else "action vectors"
        raise UserError(
            f"policy distribution {name!r} does not fit {spec.name!r}, which has {kind}"
        )
    module = {"categorical": categorical, "gaussian": gaussian, "tanh_gaussian": tanh_gaussian}
    return module[name].make(spec)
