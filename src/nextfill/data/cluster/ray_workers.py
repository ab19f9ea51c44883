"""Workers of Ray: a Ray of this machine that lasts as long as the call, or a cluster's.

Each part of a source is one task, whose results are had in the order of the parts. Ray Data would
give them in the order in which they are done, and the bytes of a store depend on the order. A
worker that is lost costs the part it was at, which Ray gives to another.
"""

from __future__ import annotations

import errno
import logging
import os
import pickle
import re
import signal
import socket
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nextfill.core.background import available_processors
from nextfill.core.errors import ConfigError, DataError, missing_library
from nextfill.data.cluster.source_part import (
    EncoderFacts,
    PartError,
    PartItem,
    SourcePart,
    encoded_part,
)

logger = logging.getLogger("nextfill")

ANSWER_S = 10.0
"""Seconds in which a cluster has to take a connection."""

MOST_TRIES = 10
"""Times that a part is given to a worker, each of which was lost."""

PARTS_PER_WORKER = 16
"""Parts for each worker, so that none is without work while others have much."""

STORE_BYTES = 1 << 30
"""Memory for the results that wait for their turn on this machine; more go to the disk."""

_MISSING = os.strerror(errno.ENOENT)
_IN_REACH = (
    "Files have to be in reach of every machine of the cluster: in a shared folder, or at an "
    "address such as s3://"
)

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_ONE_THREAD = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS")
_ADDRESS = re.compile(r"(?P<host>[^\s:/]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


@contextmanager
def ray_workers(address: str | None, workers: int | None) -> Iterator[RayWorkers]:
    """Enter the workers of a cluster, or of a Ray that is begun on this machine and ended after.

    Args:
        address: ``HOST:PORT`` of a cluster to which this machine belongs, ``auto`` for the one
            that runs here; None for a Ray of one's own.
        workers: Processes of a Ray of one's own; None for one to each processor.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers at the address.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # asks nobody, and sends nothing
    try:
        import ray
    except ImportError:
        raise missing_library("--engine ray", "ray") from None
    if address is not None:
        _check_answers(ray, address)
    options: dict[str, Any] = {"address": address}
    if address is None:
        number = workers or available_processors()
        options = {"address": "local", "num_cpus": number, "include_dashboard": False}
        options["object_store_memory"] = STORE_BYTES
    with _begun(ray, address, options):
        yield RayWorkers(ray)


class RayWorkers:
    """The workers of the Ray that this process is connected to."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._number = max(1, int(ray.cluster_resources().get("CPU", 1)))

    @property
    def most_parts(self) -> int:
        """The number of parts that a source is best divided into, if it can be."""
        return PARTS_PER_WORKER * self._number

    def can_take(self, part: SourcePart) -> bool:
        """Check that a part can be sent to another process."""
        try:
            self._ray.cloudpickle.dumps(part)
        except (TypeError, AttributeError, NotImplementedError, pickle.PicklingError):
            return False
        return True

    def results(
        self, parts: Sequence[SourcePart], encoder: EncoderFacts
    ) -> Generator[Iterable[PartItem]]:
        """Yield what `encoded_part` yields of each part, in the order of the parts."""
        task = self._ray.remote(_encoded_part).options(
            num_cpus=1, num_returns="streaming", max_retries=MOST_TRIES - 1
        )
        facts = self._ray.put(encoder)
        waiting: deque[tuple[SourcePart, Any]] = deque()
        left = iter(parts)
        try:
            for part in left:
                waiting.append((part, task.remote(part, facts, str(Path.cwd()))))
                if len(waiting) >= 2 * self._number:
                    yield self._items(*waiting.popleft())
            while waiting:
                yield self._items(*waiting.popleft())
        finally:
            for _, result in waiting:
                self._ray.cancel(result, force=True)

    def _items(self, part: SourcePart, result: Any) -> Iterator[PartItem]:
        """Yield the items of a task's result."""
        errors = self._ray.exceptions
        try:
            for reference in result:
                yield self._ray.get(reference)
        except errors.RayTaskError as error:
            raise _worker_error(part, error) from error
        except errors.RayError as error:
            raise DataError(
                f"{_named(part)}: {MOST_TRIES} workers in turn were lost while they read it: "
                f"{_first_line(error)}. Where memory was short, have fewer at a time (--workers)."
            ) from error


def _encoded_part(part: SourcePart, encoder: EncoderFacts, folder: str) -> Iterator[PartItem]:
    """Work on a part, in a worker, which has one processor, as if it were begun in a folder."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    with suppress(OSError):  # names of files may be relative
        os.chdir(folder)
    for item in encoded_part(part, encoder):
        if isinstance(item, PartError) and _MISSING in item.message:
            yield replace(item, message=f"{item.message.rstrip('.')}. {_IN_REACH}")
        else:
            yield item


def _worker_error(part: SourcePart, error: Any) -> DataError:
    """Return the error for what a worker could not do at all."""
    cause = error.cause if isinstance(getattr(error, "cause", None), BaseException) else error
    if isinstance(cause, ModuleNotFoundError):
        return DataError(
            f"a worker has no {cause.name!r}: install the same nextfill on every machine of the "
            "cluster"
        )
    return DataError(
        f"{_named(part)}: a worker failed: {type(cause).__name__}: {_first_line(cause)}. "
        f"{_IN_REACH}"
    )


def _named(part: SourcePart) -> str:
    files = [*part.source.files]
    beyond = f" and {len(files) - 1} files after it" if len(files) > 1 else ""
    return files[0] + beyond if files and part.source.divided is None else part.source.name


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(". ")


def _check_answers(ray: Any, address: str) -> None:
    """Refuse an address of another form, or at which nothing takes a connection."""
    if address == "auto":
        # Ray asks one that has ended without taking its name away for a minute and longer.
        last = _last_cluster(ray)
        if reason := _refusal(last):
            raise _no_cluster("auto", f"the last one was at {last}: {reason}")
        return
    if _ADDRESS.fullmatch(address) is None:
        raise ConfigError(
            [
                f"--ray-address: found {address!r}, expected HOST:PORT of a cluster to which this "
                "machine belongs, such as 10.0.0.1:6379, or auto. From another machine, send the "
                "command to the cluster as a job: ray job submit"
            ]
        )
    if reason := _refusal(address):
        raise _no_cluster(address, reason)


def _last_cluster(ray: Any) -> str:
    """Return the address of the cluster that Ray takes for the one of this machine."""
    try:
        return str(ray._private.services.canonicalize_bootstrap_address("auto"))
    except (ConnectionError, ValueError) as error:
        raise _no_cluster("auto", _first_line(error)) from error


def _refusal(address: str) -> str | None:
    """Return why nothing takes a connection at an address; None where something does."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None  # of a form that is Ray's own
    try:
        place = found["host"].strip("[]"), int(found["port"])
        socket.create_connection(place, timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _no_cluster(address: str, reason: str) -> ConfigError:
    return ConfigError(
        [
            f"--ray-address: no cluster answers at {address} ({reason}). Begin one there: "
            "ray start --head"
        ]
    )


@contextmanager
def _begun(ray: Any, address: str | None, options: dict[str, Any]) -> Iterator[None]:
    try:
        with _own_signals():
            ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        if address is None:
            raise ConfigError(
                [f"--engine ray: Ray does not start on this machine: {_first_line(error)}"]
            ) from error
        raise ConfigError(
            [
                f"--ray-address: Ray cannot join what answers at {address}: {_first_line(error)}. "
                "Where the cluster asks for a token, set RAY_AUTH_MODE=token here, too."
            ]
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Have signals end this process as before, though Ray takes one of them over."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGTERM, before)
