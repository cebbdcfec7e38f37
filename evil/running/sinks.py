"""Where metrics go: a file of JSON lines always, TensorBoard and Weights & Biases on demand."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import time
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from evil import atomic
from evil.errors import UserError
from evil.running import files
from evil.running.directory import RunDirectory

Record: TypeAlias = dict[str, Any]
# phase, iteration, env_steps (of one lane), wall_s, lane, and every metric by its own name

COORDINATES = ("phase", "iteration", "env_steps", "wall_s", "lane")


class Sink(Protocol):
    """Something that keeps records."""

    def write(self, records: Sequence[Record]) -> None: ...

    def rewind(self, phase: str, iteration: int) -> None:
        """Forget records of `phase` beyond `iteration`: they are about to be computed again."""

    def close(self) -> None: ...


def open_sinks(
    directory: RunDirectory, tensorboard: bool | None = None, wandb: str = ""
) -> tuple[Sink, ...]:
    """The sinks of a run: `metrics.jsonl`, TensorBoard (None: if installed), a W&B project."""
    sinks: list[Sink] = [JsonLines(directory.metrics)]
    if tensorboard or (tensorboard is None and importlib.util.find_spec("tensorboardX")):
        sinks.append(TensorBoard(directory.tensorboard))
    if wandb:
        sinks.append(WeightsAndBiases(directory, wandb))
    return tuple(sinks)


def last_logged(path: Path, phases: Container[str]) -> int:
    """The last iteration of these phases in a file of metrics; 0 without any."""
    if not path.exists():
        return 0
    places = filter(None, map(_place, files.lines(path)))
    return max((iteration for phase, iteration in places if phase in phases), default=0)


class JsonLines:
    """`metrics.jsonl`: one object per logged iteration and lane, in the order they happened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[str] | None = None

    def write(self, records: Sequence[Record]) -> None:
        with atomic.explained("write", self._path):
            if self._stream is None:
                self._stream = self._path.open("a", encoding="utf-8")
            self._stream.write("".join(map(files.line, records)))
            self._stream.flush()  # what a checkpoint says was logged must survive a kill

    def rewind(self, phase: str, iteration: int) -> None:
        self.close()
        if not self._path.exists():
            return
        stays = functools.partial(_stays, phase=phase, iteration=iteration)
        if not all(map(stays, files.lines(self._path))):
            atomic.write_parts(self._path, filter(stays, files.lines(self._path)))

    def close(self) -> None:
        if self._stream is not None:
            with atomic.explained("write", self._path):
                self._stream.close()
            self._stream = None


class TensorBoard:
    """Event files with scalars named `phase/lane/owner/quantity`, by iteration.

    Each phase has its own writer, because TensorBoard rewinds a whole writer at a time. Events are
    written here and now: tensorboardX's `SummaryWriter` gives them to a thread, which a full disk
    ends, and then waits for that thread for ever.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}
        if not importlib.util.find_spec("tensorboardX"):
            raise UserError("TensorBoard was asked for, but tensorboardX is not installed.")

    def write(self, records: Sequence[Record]) -> None:
        from tensorboardX import summary

        with atomic.explained("write", self._folder):
            for record in records:
                phase, lane = record["phase"], record["lane"]
                if phase not in self._writers:
                    self.rewind(phase, 0)
                event = _event(step=record["iteration"], wall_time=time.time())
                for name, value in _metrics(record).items():
                    event.summary.MergeFrom(summary.scalar(f"{phase}/{lane}/{name}", value))
                self._writers[phase].write_event(event)
            for writer in self._writers.values():
                writer.flush()

    def rewind(self, phase: str, iteration: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        folder = self._folder / phase
        with atomic.explained("write", folder):
            if phase in self._writers:
                self._writers.pop(phase).close()
            folder.mkdir(parents=True, exist_ok=True)
            writer = self._writers[phase] = EventsWriter(str(folder / "events"))
            writer.write_event(
                _event(step=iteration + 1, wall_time=time.time(), session_log={"status": "START"})
            )

    def close(self) -> None:
        with atomic.explained("write", self._folder):
            while self._writers:
                self._writers.popitem()[1].close()


class WeightsAndBiases:
    """A run in a Weights & Biases project, continued under the same id on resume.

    It cannot forget, so a resumed run may repeat a few iterations there, with equal values.
    """

    def __init__(self, directory: RunDirectory, project: str) -> None:
        if not importlib.util.find_spec("wandb"):
            raise UserError("Weights & Biases was asked for, but wandb is not installed.")
        wandb: Any = importlib.import_module("wandb")

        note = directory.path / "wandb.json"
        known = files.read_json(note).get("id") if note.exists() else None
        self._run = wandb.init(
            project=project,
            name=directory.path.name,
            dir=str(directory.path),
            config=directory.read_config(),
            id=known,
            resume="allow",
        )
        files.write_json(note, {"id": self._run.id})

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            prefix = f"{record['phase']}/{record['lane']}"
            values = {f"{prefix}/{name}": value for name, value in _metrics(record).items()}
            place = {f"{record['phase']}/{name}": record[name] for name in COORDINATES[1:4]}
            self._run.log(values | place)

    def rewind(self, phase: str, iteration: int) -> None:
        pass

    def close(self) -> None:
        self._run.finish()


def _event(**fields: Any) -> Any:
    """An event of TensorBoard's, whose class is made as it is imported."""
    return importlib.import_module("tensorboardX.proto.event_pb2").Event(**fields)


def _metrics(record: Mapping[str, Any]) -> Record:
    return {name: value for name, value in record.items() if name not in COORDINATES}


def _stays(line: bytes, phase: str, iteration: int) -> bool:
    """Whether a line of metrics survives a rewind; one torn by a kill does not."""
    place = _place(line)
    return place is not None and (place[0] != phase or place[1] <= iteration)


def _place(line: bytes) -> tuple[str, int] | None:
    """The phase and the iteration of a line of metrics; None if it is not a whole one."""
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
        record = json.loads(line)
        return (str(record["phase"]), int(record["iteration"])) if line.endswith(b"\n") else None
    return None
