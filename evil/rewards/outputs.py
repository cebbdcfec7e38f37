"""From a discriminator's network to the function that is fitted and the reward that is paid.

linear    fitted and paid as it is: unbounded
sigmoid   1 / (1 + e^-x), fitted and paid: between 0 and 1, flat towards both
clipped   (x + 3) / 6 between 0 and 1, fitted and paid: as bounded, straight in between
logit     fitted as a sigmoid, paid as its argument: bounded only while it is fitted
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
from jax import Array

Output = Literal["sigmoid", "linear", "clipped", "logit"]


class Form(NamedTuple):
    """What is made of the network's output `[...]`."""

    fitted: Callable[[Array], Array]
    paid: Callable[[Array], Array]


def _unchanged(x: Array) -> Array:
    return x


FORMS: dict[str, Form] = {
    "sigmoid": Form(jax.nn.sigmoid, jax.nn.sigmoid),
    "linear": Form(_unchanged, _unchanged),
    "clipped": Form(jax.nn.hard_sigmoid, jax.nn.hard_sigmoid),
    "logit": Form(jax.nn.sigmoid, _unchanged),
}
