"""The name that ranks agree on each time they start, in a store that may outlast them.

A launcher's store holds what ranks wrote before they were started again, and the launchers of
several machines count their restarts apart: one that was begun anew counts none. So each rank
writes a mark of its own; the first writes a name with the marks it has seen, and all go by a name
with their own marks once each has said so.
"""

from __future__ import annotations

import json
import time
import uuid

from torch.distributed import Store  # type: ignore[attr-defined]

_WAIT_S = 0.05


def agreed_name(store: Store, rank: int, world: int) -> str:
    """Return a name that all ranks of this start have, and none of another.

    It waits for all of them, without end: who calls it limits the time.
    """
    return _named_by_first(store, world) if rank == 0 else _found_by_other(store, rank)


def _named_by_first(store: Store, world: int) -> str:
    others = range(1, world)
    while True:
        marks = {rank: _read(store, f"mark/{rank}") for rank in others}
        if None not in marks.values():
            name = uuid.uuid4().hex
            store.set("name", json.dumps([name, marks]))
            while marks == {rank: _read(store, f"mark/{rank}") for rank in others}:
                if all(_read(store, f"{name}/{rank}") for rank in others):
                    store.set(f"{name}/go", "all")
                    return name
                time.sleep(_WAIT_S)
        time.sleep(_WAIT_S)


def _found_by_other(store: Store, rank: int) -> str:
    mark, said = uuid.uuid4().hex, ""
    store.set(f"mark/{rank}", mark)
    while True:
        if (found := _read(store, "name")) is not None:
            name, marks = json.loads(found)
            if marks.get(str(rank)) == mark:
                if name != said:
                    store.set(f"{name}/{rank}", mark)
                    said = name
                if _read(store, f"{name}/go"):
                    return str(name)
        time.sleep(_WAIT_S)


def _read(store: Store, key: str) -> str | None:
    return store.get(key).decode() if store.check([key]) else None
