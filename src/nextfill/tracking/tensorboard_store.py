"""A run's points in an event file of TensorBoard, in the folder ``tensorboard`` of the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from nextfill.core.atomic_write import sync
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import Point, Text
from nextfill.tracking.store import Settings

_PREFIX = "events.out.tfevents."


class TensorBoardStore:
    """One event file, which is written again where its points hold no more.

    TensorBoard's own writer would import TensorFlow where that is installed, and name this machine
    in the file's name.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.path / "tensorboard"
        self._file: BinaryIO | None = None

    def begin(self, settings: Settings, replaced: str | None) -> str:
        """Begin a file, and remove the one before."""
        self._leave()
        self._folder.mkdir(exist_ok=True)
        if replaced is not None and Path(replaced).name.startswith(_PREFIX):
            (self._folder / Path(replaced).name).unlink(missing_ok=True)
        name = f"{_PREFIX}{time.time():017.6f}.nextfill"
        self._file = (self._folder / name).open("xb")
        self._write([event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")])
        rows = [f"| {key} | `{value}` |" for key, value in settings.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        self.send([], [Text("settings", 0, table)])
        return name

    def go_on(self, name: str) -> bool:
        """Go on with a file that is there."""
        path = self._folder / Path(name).name
        if not path.is_file():
            return False
        self._file = path.open("ab")
        return True

    def send(self, points: Sequence[Point], texts: Sequence[Text]) -> None:
        """Add a record for each, and have them on the disk."""
        now = time.time()
        scalars = [(one.step, _scalar(one)) for one in points]
        written = [(one.step, _text(one)) for one in texts]
        self._write(
            [
                event_pb2.Event(
                    wall_time=now, step=step, summary=summary_pb2.Summary(value=[value])
                )
                for step, value in scalars + written
            ]
        )

    def close(self, *, finished: bool) -> str:
        """Close the file."""
        del finished
        self._leave()
        return f"tensorboard --logdir {self._folder}"

    def _write(self, events: Sequence[event_pb2.Event]) -> None:
        assert self._file is not None  # noqa: S101 - begun or gone on with before
        records = RecordWriter(self._file)
        for event in events:
            records.write(event.SerializeToString())
        self._file.flush()
        sync(Path(self._file.name))

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _scalar(point: Point) -> summary_pb2.Summary.Value:
    return summary_pb2.Summary.Value(tag=point.name, simple_value=point.value)


def _text(text: Text) -> summary_pb2.Summary.Value:
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[text.text.encode()]
    )
    metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
    return summary_pb2.Summary.Value(tag=text.name, metadata=metadata, tensor=tensor)
