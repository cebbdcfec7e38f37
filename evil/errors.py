"""The one error that is the user's to mend, and the search for what they may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input: one sentence that says what was found and what was expected.

    Command lines print it without a traceback and exit with code 2.
    """


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not in `known`, with the nearest names that are."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    return UserError(f"unknown {kind} {str(name)!r}: {hint}")


def at_least(minimum: int, **values: float) -> None:
    """Refuse values below `minimum`, by the name of the option that sets them."""
    for name, value in values.items():
        if not value >= minimum:  # NaN is neither
            raise UserError(f"{name} must be at least {minimum}, found {value}")


def fields_at_least(minimum: int, config: object, *names: str) -> None:
    """The same for fields of a config."""
    at_least(minimum, **{name: getattr(config, name) for name in names})


def fields_are_fractions(config: object, *names: str, of_less_than_all: bool = False) -> None:
    """Refuse fields of a config outside 0 to 1, and 1 itself where they are `of_less_than_all`."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1 or (of_less_than_all and value == 1):
            limit = "below 1" if of_less_than_all else "1"
            raise UserError(f"{name} must be from 0 to {limit}, found {value}")
