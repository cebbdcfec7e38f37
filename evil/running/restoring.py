"""Where a phase begins: at its newest checkpoint, or anew if it never had one.

A kill may cost iterations that were logged and not saved yet: they are computed again, and said to
be. A phase that had checkpoints and has lost all of them is not begun anew, which would replace
what it has logged: whoever wants that deletes its folder of checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evil.errors import UserError
from evil.running import processes, sinks
from evil.running.checkpoints import Saved
from evil.running.directory import RunDirectory
from evil.running.phase import Phase, Position
from evil.running.session import Session
from evil.seams import PyTree


def restored(phase: Phase, session: Session) -> tuple[PyTree | None, Position]:
    """States and position of the newest checkpoint; without one, None and the beginning."""
    shapes = phase.states
    read: list[PyTree] = []
    found = processes.first(lambda: _read(phase, session, shapes, read))
    if found is None:
        return None, Position()
    states = processes.arrays_of_first(read[0] if read else None, shapes)
    return states, Position.from_json(found)


def _read(
    phase: Phase, session: Session, shapes: PyTree, states: list[PyTree]
) -> dict[str, Any] | None:
    """The position in the newest checkpoint, whose states are appended; None without one."""
    directory, checkpoints = session.directory, session.checkpoints(phase.name)
    if directory is None or checkpoints is None:
        return None
    saved = checkpoints.newest()
    logged = sinks.last_logged(directory.metrics, {name for name, _ in phase.logged_groups})
    if saved is None:
        if logged:
            session.progress.note(_begin_anew(phase, directory, checkpoints.folder, logged))
        return None
    position = _position(saved)
    states.append(checkpoints.restore(saved, shapes))
    if position.complete == position.is_unfinished(phase):
        raise UserError(
            f"checkpoint {saved.path} does not fit this run: it was not made for "
            f"{phase.iterations} iterations."
        )
    if position.complete:
        return position.to_json()
    if differences := saved.differences():
        session.progress.note(
            f"{phase.name}: its checkpoint was written by {'; '.join(differences)}: bits may "
            "differ from those of an uninterrupted run"
        )
    if logged > position.iteration:
        session.progress.note(
            f"{phase.name}: continues after iteration {position.iteration}, of the newest "
            f"checkpoint; {logged} were logged, of which the rest is computed again"
        )
    return position.to_json()


def _position(saved: Saved) -> Position:
    try:
        return Position.from_json(saved.position)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"checkpoint {saved.path} is corrupt: it names no position.") from error


def _begin_anew(phase: Phase, directory: RunDirectory, folder: Path, logged: int) -> str:
    """What is said when a phase without checkpoints begins; UserError if somebody removed them."""
    # A save that was killed has left a hidden folder.
    has_lost = folder.is_dir() and not any(folder.iterdir())
    in_the_way = [folder] * has_lost + [directory.summary] * directory.summary.is_file()
    if in_the_way:
        raise UserError(
            f"phase {phase.name} has logged {logged} iterations, but of its checkpoints none is "
            f"left in {folder}: put one back, or delete {' and '.join(map(str, in_the_way))} to "
            "compute and log the phase anew."
        )
    return (
        f"{phase.name}: begins anew; {logged} iterations were logged before the first checkpoint, "
        "and are computed again"
    )
