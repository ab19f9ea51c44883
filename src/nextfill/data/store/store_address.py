"""An address below which token stores lie under their keys, for many machines.

Whatever fsspec knows: ``s3://``, ``gs://``, a folder that machines share. A store there has the
files that it has in a cache, byte for byte; its ``meta.json`` comes last, so that a store without
one is not whole yet. Keys and tokens are read by the file system's own ways, such as the
environment, and never stand in an address.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from nextfill.core.background import Background, BackgroundCall
from nextfill.core.errors import DataError
from nextfill.core.paths import is_address, user_path
from nextfill.core.url_redaction import redacted
from nextfill.data.records.files import display_name
from nextfill.data.records.formats.compression import error_text, external_errors
from nextfill.data.records.remote_files import GOOGLE, NOTED, file_system
from nextfill.data.records.socket_traffic import Traffic, traffic

logger = logging.getLogger("nextfill")

FLAG = "--store"

T = TypeVar("T")

ANSWER_S = 40.0
"""Most seconds that an address takes to answer at all, or is silent while a file is moved."""

TRIES = 3
"""Times that a file is moved whose connection is lost on the way."""

_PAUSES_S = (0.5, 2.0)
"""Seconds before the second and the third time."""

SLOWEST_BYTES_S = 100_000
"""Bytes a second of the slowest upload, where bytes cannot be noted one by one."""

_WAKE_S = 0.2
_BLOCK_BYTES = 5 << 20
"""Bytes after which file systems tell of their progress."""

_COPY_BYTES = 1 << 20

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of this machine's disk, where a file comes to it."""

_WITHOUT = "To go on without it, leave --store out."


@dataclass(frozen=True)
class StoreAddress:
    """A place of token stores that many machines have in common.

    Args:
        address: An address without secrets, or a folder.
    """

    address: str

    @property
    def name(self) -> str:
        """The address for messages."""
        return display_name(redacted(self.address))

    @cached_property
    def _system_and_root(self) -> tuple[Any, str]:
        if is_address(self.address):
            system, root = file_system(self.address, self.name, FLAG)
            return system, str(root).rstrip("/")
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(), str(user_path(self.address, FLAG).absolute())

    @property
    def _kind(self) -> str:
        return self.address.partition("://")[0].lower() if is_address(self.address) else ""

    @property
    def _is_noted(self) -> bool:
        return self._kind in NOTED

    @property
    def _is_local(self) -> bool:
        return "file" in self._system_and_root[0].protocol

    def _at(self, path: str) -> tuple[Any, str]:
        system, root = self._system_and_root
        return system, f"{root}/{path}"

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a small file; None where there is none."""
        with self._acting("read"):
            return self._soon(partial(self._content, path))

    def _content(self, path: str) -> bytes | None:
        system, place = self._at(path)
        try:
            content: bytes = system.cat_file(place)
        except FileNotFoundError:
            return None
        return content

    def fetch(self, path: str, file: Path) -> None:
        """Copy a file of the address to this machine.

        Raises:
            DataError: It may not be read, is not there, or does not come whole in a few tries.
            OSError: This machine's disk does not take it.
        """
        system, place = self._at(path)
        copy = partial(_copy, place, file) if self._is_local else partial(_get, system, place, file)
        with self._acting("read"):
            self._moved(copy, 0 if self._is_noted or self._kind in GOOGLE else _BLOCK_BYTES)

    def put(self, file: Path, path: str) -> None:
        """Copy a file of this machine to the address, where it is seen once it is whole.

        Raises:
            DataError: It may not be written, or does not go whole in a few tries.
        """
        system, place = self._at(path)
        with self._acting("written"):
            if self._is_local:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                beside = f"{place}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
                try:
                    self._moved(partial(_copy, file, beside), 0)
                    Path(beside).replace(place)
                finally:
                    Path(beside).unlink(missing_ok=True)
            else:
                chunks = {"chunksize": _BLOCK_BYTES} if self._kind in GOOGLE else {}
                unnoted = 0 if self._is_noted else _BLOCK_BYTES if chunks else file.stat().st_size
                self._moved(partial(_put, system, file, place, chunks), unnoted)

    def _moved(self, move: Callable[[Traffic], None], unnoted: int) -> None:
        """Move a file, once more where the connection is lost, for as long as bytes move.

        A large file may take hours; what is limited is the silence, over all tries. Where the file
        system tells of its progress after so many bytes alone (``unnoted``), they have their time.
        """
        moving = Traffic()
        most_s = ANSWER_S + unnoted / SLOWEST_BYTES_S
        for pause_s in (*_PAUSES_S, None):
            call = _begun(partial(move, moving))
            while not call.wait(_WAKE_S):
                silent_s = time.monotonic() - max(moving.last_s, traffic.last_s)
                if silent_s > most_s:
                    raise TimeoutError(f"no byte has moved for {most_s:.0f} seconds")
            try:
                return call.result()
            except external_errors() as error:
                lasting = isinstance(error, (PermissionError, FileNotFoundError))
                if lasting or pause_s is None or getattr(error, "errno", None) in _DISK:
                    raise
                logger.debug("%s: once more after: %s", self.name, error_text(error))
                time.sleep(pause_s)
        return None

    def check_writable(self) -> None:
        """Write a file and remove it, before hours of work whose result could not be written."""
        with self._acting("written"):
            self._soon(partial(self._try_to_write, f"begun-{os.urandom(16).hex()}"))

    def _try_to_write(self, path: str) -> None:
        system, place = self._at(path)
        if self._is_local:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
        system.pipe_file(place, b"")
        try:
            system.rm_file(place)
        except external_errors():  # who may write need not have the right to remove
            logger.debug("%s: a file was not removed again: %s", self.name, place)

    def _soon(self, work: Callable[[], T]) -> T:
        """Do what takes a moment where somebody answers; libraries try for minutes."""
        call = _begun(work)
        deadline_s = time.monotonic() + ANSWER_S
        while not call.wait(_WAKE_S):  # a signal may have come to the other thread
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no answer within {ANSWER_S:.0f} seconds")
        return call.result()

    @contextmanager
    def _acting(self, done: str) -> Iterator[None]:
        """Turn the errors of a file system into a `DataError`."""
        label = f"{FLAG} {self.name!r}"
        try:
            yield
        except PermissionError as error:
            right = "read" if done == "read" else "write"
            raise DataError(
                f"{label} may not be {done}: {error_text(error)}. Ask its owner for the right to "
                f"{right} there; keys are read from the environment, as the libraries of the "
                f"address do (AWS_ACCESS_KEY_ID, AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS). "
                f"{_WITHOUT}"
            ) from None
        except FileNotFoundError as error:
            raise DataError(
                f"{label} cannot be {done}: {error_text(error)}. Expected a bucket, or a folder, "
                "that is there, and stores that nobody removes while they are read."
            ) from None
        except _refusals() as error:
            if done == "read" and getattr(error, "errno", None) in _DISK:
                raise  # of this machine, not of the address
            raise DataError(f"{label} cannot be {done}: {error_text(error)}. {_WITHOUT}") from None


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which file systems say that they cannot do something."""
    return (*external_errors(), ValueError, NotImplementedError)


def _begun(work: Callable[[], T]) -> BackgroundCall[T]:
    """Begin a call in a thread of its own, which may be left where nobody answers."""
    background = Background()
    call = background.begin(work)
    background.end_after()
    return call


def _get(system: Any, place: str, file: Path, moving: Traffic) -> None:
    system.get_file(place, str(file), callback=_callback(moving))


def _put(system: Any, file: Path, place: str, options: Mapping[str, Any], moving: Traffic) -> None:
    system.put_file(str(file), place, callback=_callback(moving), **options)


def _copy(source: str | Path, target: str | Path, moving: Traffic) -> None:
    """Copy a file by a path, piece by piece."""
    with Path(source).open("rb") as old, Path(target).open("wb") as new:
        while piece := old.read(_COPY_BYTES):
            new.write(piece)
            moving.note()


def _callback(moving: Traffic) -> Any:
    """Return what a file system tells of the bytes that it has moved."""
    from fsspec.callbacks import Callback

    class Told(Callback):  # type: ignore[misc]
        def call(self, *args: object, **kwargs: object) -> None:
            moving.note()

    return Told()
