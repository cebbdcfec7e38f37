"""Pictures of one episode: images for a GIF, or a page that plays without any network.

    recording = record(env, policy, key)    traceable: compile it where that is allowed
    shown = film(env, recording, title)     shapes and a camera, on the host
    page(shown), pictures(shown)            HTML text, or a list of images

Brax's own viewer needs three.js and more from servers on the web, and MuJoCo's renderer a
graphics driver. This one needs neither.
"""

from __future__ import annotations

from evil.environments import brax
from evil.errors import UserError
from evil.evaluation.rendering import classic, locomotion
from evil.evaluation.rendering.drawing import durations, pictures
from evil.evaluation.rendering.films import Film, every, first
from evil.evaluation.rendering.player import page
from evil.evaluation.rendering.recording import Recording, cut, record
from evil.seams import Environment, Spec

__all__ = [
    "Film", "Recording", "check", "durations", "every", "film", "first", "page", "pictures",
    "record",
]  # fmt: skip


def check(spec: Spec) -> None:
    """UserError for an environment that nobody has taught this package to draw."""
    known = sorted([*classic.FILMS, *brax.FORWARD_VELOCITY])
    if spec.name not in known:
        raise UserError(f"{spec.name} cannot be rendered, only {', '.join(known)} can.")


def film(env: Environment, recording: Recording, title: str) -> Film:
    """The film of a recorded episode."""
    check(env.spec)
    recording = cut(recording)
    if env.spec.name in classic.FILMS:
        return classic.FILMS[env.spec.name](env, recording, title)
    return locomotion.film(env.spec, recording, title)
