"""Policy distributions: what turns a network's output into actions and log-probabilities.

`make(name, spec)` gives a `Family`. A family samples *latents* and maps them to the actions that
are applied; learners store latents, so that no log-probability is ever taken at a clipped or
squashed boundary.
"""

from __future__ import annotations

from evil.distributions.family import Family as Family
from evil.errors import UserError, unknown
from evil.seams import Spec

NAMES = ("auto", "squashed", "categorical", "gaussian", "tanh_gaussian")


def resolve(name: str, spec: Spec) -> str:
    """The family that `name` means for an environment's actions; see `make`."""
    if name not in ("auto", "squashed"):
        return name
    vectors = "gaussian" if name == "auto" else "tanh_gaussian"
    return "categorical" if spec.is_discrete else vectors


def make(name: str, spec: Spec) -> Family:
    """The family `name` for an environment.

    By its actions, `auto` is categorical or gaussian, and `squashed` categorical or tanh_gaussian.
    """
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
