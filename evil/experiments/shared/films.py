"""Films as the content of a GIF or of a page."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import jax

from evil.evaluation import rendering
from evil.seams import Environment, Key, Policy

GIF_SECONDS, GIF_RATE = 12.0, 25.0  # of the film in a GIF: a page has all of it
PAGE_RATE = 60.0


def encode(film: rendering.Film, suffix: str) -> bytes:
    """A film as the content of a `.html` or `.gif` file."""
    if suffix == ".html":
        return rendering.page(at_most(film, PAGE_RATE)).encode()
    film = at_most(rendering.first(film, GIF_SECONDS), GIF_RATE)
    first, *others = rendering.pictures(film)
    stream = io.BytesIO()
    first.save(
        stream,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=rendering.durations(film),
        loop=0,
    )
    return stream.getvalue()


def at_most(film: rendering.Film, rate: float) -> rendering.Film:
    """A film with no more pictures in a second than `rate`, about."""
    return rendering.every(film, max(1, round(1 / (rate * film.seconds))))


def of_each(env: Environment, policy: Policy, key: Key, titles: list[str]) -> list[rendering.Film]:
    """One episode of each of the stacked policies, all from the same start."""

    def record(params: Any) -> rendering.Recording:
        return rendering.record(env, dataclasses.replace(policy, params=params), key)

    recordings = jax.device_get(jax.jit(jax.vmap(record))(policy.params))
    return [
        rendering.film(env, jax.tree.map(lambda x: x[index], recordings), title)  # noqa: B023
        for index, title in enumerate(titles)
    ]
