"""The small environments as flat shapes, straight from their observations."""

from __future__ import annotations

import numpy as np

from evil.environments import gridworld
from evil.evaluation.rendering import palette
from evil.evaluation.rendering.films import Film, Label, Shape, line, still_order
from evil.evaluation.rendering.recording import Recording
from evil.seams import Environment

SUBFRAMES = 6  # between two cells of the gridworld, so that the eye can follow


def cartpole(env: Environment, recording: Recording, title: str) -> Film:
    """A cart on its track, the marks it may not pass, and its pole."""
    position, angle = recording.obs[:, 0], recording.obs[:, 2]
    pole, edge = 2.0 * float(env.params.length), float(env.params.x_threshold)
    cart = np.stack([position, np.zeros_like(position)], -1)
    tip = cart + pole * np.stack([np.sin(angle), np.cos(angle)], -1)
    box = np.array([(-0.2, -0.08), (0.2, -0.08), (0.2, 0.08), (-0.2, 0.08)])
    wheels = [cart + np.array([x, -0.17]) for x in (-0.15, 0.15)]
    shapes = [
        line((-9, -0.25), (9, -0.25), (9, -9), (-9, -9), radius=0.0, colour=palette.GROUND),
        line((-9, -0.25), (9, -0.25), radius=0.008, colour=palette.LINE),
        *(line((x, -0.25), (x, 0.1), radius=0.02, colour=palette.QUIET) for x in (-edge, edge)),
        *(Shape(wheel[:, None], 0.08, palette.QUIET) for wheel in wheels),
        Shape(cart[:, None] + box[None], 0.06, palette.INK, outlined=True),
        Shape(np.stack([cart, tip], 1), 0.055, palette.BLUE, outlined=True),
        Shape(cart[:, None], 0.035, palette.ORANGE),
    ]
    labels = [Label((x, -0.42), f"{x:+.1f} m") for x in (-edge, edge)]
    return _film(title, shapes, labels, recording, (0.0, 0.45), 3.3, float(env.params.tau))


def pendulum(env: Environment, recording: Recording, title: str) -> Film:
    """A rod on its pivot; upright is where it belongs."""
    tip = np.stack([-recording.obs[:, 1], recording.obs[:, 0]], -1) * float(env.params.l)
    pivot = np.zeros_like(tip)
    shapes = [
        line((0, 0), radius=1.126, colour=palette.LINE),
        line((0, 0), radius=1.114, colour=palette.PAPER),
        line((0, 1.06), (0, 1.18), radius=0.012, colour=palette.GREEN),
        Shape(np.stack([pivot, tip], 1), 0.07, palette.BLUE),
        line((0, 0), radius=0.035, colour=palette.INK),
    ]
    return _film(title, shapes, [], recording, (0.0, 0.05), 2.9, float(env.params.dt))


def reacher(env: Environment, recording: Recording, title: str) -> Film:
    """Two links of one metre each, and the place that their end should reach."""
    cosines, sines = recording.obs[:, 0:2], recording.obs[:, 2:4]
    joints = np.cumsum(np.stack([cosines, sines], -1), axis=1)  # [F, 2 links, 2]
    base, goal = np.zeros_like(joints[:, 0]), np.asarray(recording.obs)[:, None, 6:8]
    shapes = [
        line((0, 0), radius=2.0, colour=palette.GROUND),
        line((0, 0), radius=0.22, colour=palette.SHADE),
        Shape(goal, 0.16, palette.AMBER),
        Shape(goal, 0.11, palette.GROUND),
        Shape(goal, 0.05, palette.AMBER),
        Shape(np.stack([base, joints[:, 0]], 1), 0.085, palette.INK, outlined=True),
        Shape(np.stack([joints[:, 0], joints[:, 1]], 1), 0.07, palette.BLUE, outlined=True),
        Shape(joints[:, 1:], 0.05, palette.ORANGE),
    ]
    return _film(title, shapes, [], recording, (0.0, 0.0), 4.6, float(env.params.dt))


def grid(env: Environment, recording: Recording, title: str) -> Film:
    """Cells, walls, the goal, where the agent is, and where it has been."""
    size = gridworld.SIZE
    maze = np.asarray(env.params.maze)
    place = np.stack([recording.obs[:, 1], -recording.obs[:, 0]], -1) * size
    goal = np.stack([recording.obs[:1, 3], -recording.obs[:1, 2]], -1) * size
    found = recording.obs[:, 4:5] > 0.5
    steps = len(recording.reward)
    moments = np.linspace(0, steps, steps * SUBFRAMES + 1)
    now = np.floor(moments + 1e-6).astype(int)
    moving = np.stack([np.interp(moments, np.arange(steps + 1), x) for x in place.T], -1)
    paid = np.where(found[now], moving, np.nan)
    square = np.array([(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)])
    cells = [
        Shape(
            (square + np.array([column, -row]))[None],
            0.06,
            palette.GROUND if maze[row, column] else palette.QUIET,
        )
        for row in range(size)
        for column in range(size)
    ]
    trail = [
        Shape(
            np.where((moments >= step)[:, None], place[step], np.nan)[:, None], 0.07, palette.LINE
        )
        for step in range(steps)
    ]
    shapes = [
        *cells,
        Shape(goal[:, None], 0.36, palette.AMBER),
        Shape(goal[:, None], 0.29, palette.GROUND),
        *trail,
        Shape(moving[:, None], 0.22, palette.BLUE),
        Shape(paid[:, None], 0.22, palette.GREEN),
    ]
    return _film(title, shapes, [], recording, (2.0, -1.9), 6.0, 0.4 / SUBFRAMES, now)


def _film(
    title: str,
    shapes: list[Shape],
    labels: list[Label],
    recording: Recording,
    focus: tuple[float, float],
    height: float,
    seconds: float,
    steps: np.ndarray | None = None,
) -> Film:
    """A film under a fixed camera; `steps` are those that its pictures belong to."""
    steps = np.arange(len(recording.obs)) if steps is None else steps
    returns = np.append(0.0, np.cumsum(recording.reward))
    return Film(
        title=title,
        shapes=tuple(shapes),
        backdrop=0 if not labels else len(shapes) - sum(len(x.points) > 1 for x in shapes),
        labels=tuple(labels),
        order=still_order(len(steps), len(shapes)),
        focus=np.tile(focus, (len(steps), 1)),
        height=height,
        captions=tuple(f"step {step}   return {returns[step]:,.1f}" for step in steps),
        seconds=seconds,
    )


FILMS = {"cartpole": cartpole, "pendulum": pendulum, "reacher": reacher, "gridworld": grid}
