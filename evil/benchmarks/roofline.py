"""What a program cannot do without: its matrix products, and the rate at which a machine does them.

The floating-point operations of all products of a program, those in a loop as often as it runs,
over the rate of one large product: no program that computes them is faster. Of a loop whose length
only shows when it runs, the body counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from evil.benchmarks.timing import Contestant, prepare
from evil.seams import PyTree

SIZE = 1024  # rows and columns of the large product
REPEATS = 8  # of it in one call


def product_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Floating-point operations of the matrix products of `function(*arguments)`."""
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def large_product() -> tuple[Contestant, float]:
    """Products of two large float32 matrices, one after the other, and their operations."""
    key_a, key_b = jax.random.split(jax.random.key(0))
    # Orthogonal: the numbers neither grow nor vanish.
    a, b = (jax.random.orthogonal(key, SIZE) for key in (key_a, key_b))

    def multiply(state: PyTree) -> PyTree:
        a, b = state
        return jax.lax.fori_loop(0, REPEATS, lambda _, x: x @ b, a), b

    return prepare(multiply, (a, b)), REPEATS * 2.0 * SIZE**3


def _flops(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, parts(equation)
        if name == "dot_general":
            total += _of_product(equation)
        elif name == "cond":  # one of its branches
            total += max(map(_flops, inner))
        else:
            times = equation.params["length"] if name == "scan" else 1
            total += times * sum(map(_flops, inner))
    return total


def _of_product(equation: Any) -> float:
    """Two for every number of the result and every row that it sums over."""
    (contracting, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracting)


def parts(equation: Any) -> list[Any]:
    """The programs inside an equation."""
    leaves = jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns"))
    inner = [getattr(part, "jaxpr", part) for part in leaves]
    return [part for part in inner if hasattr(part, "eqns")]
