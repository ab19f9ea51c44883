"""The settings of a run, read back from it, as whatever goes on from the run needs them."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextfill.errors import RunError
from nextfill.given import Given, leaves, short
from nextfill.recipe import read_recipe

CONFIG = "config.toml"


def read_run_settings(run: Path) -> list[Given]:
    """Read the settings of a run, which nobody may have changed since it wrote them.

    Args:
        run: The run directory.

    Returns:
        What its config.toml sets.

    Raises:
        RunError: If it was changed, with the difference.
    """
    # Not for --help, which reads no run and is to be there at once.
    from nextfill.checksums import file_problem
    from nextfill.record import CHECKPOINTS, recover_record

    path = run / CONFIG
    record = recover_record(run)
    written = None if record is None else record.files.get(CONFIG)
    if written is None or file_problem(path, written) is None:
        return read_recipe(path)
    copies = sorted(run.glob(f"{CHECKPOINTS}/step-*/{CONFIG}"))
    copy = next((one for one in copies if file_problem(one, written) is None), None)
    again = "start a new run with the new ones: nextfill train CONFIG.toml --out ANOTHER"
    if copy is None:
        raise RunError(
            f"{path} is not as the run wrote it. A run keeps its settings: put the old file back, "
            f"or {again}"
        )
    raise RunError(
        f"{path} is not as the run wrote it{_difference(copy, path)}. A run keeps its settings: "
        f"put them back with: cp {shlex.quote(str(copy))} {shlex.quote(str(path))} - or {again}"
    )


def _difference(old: Path, new: Path) -> str:
    """Say which settings of a file differ from those of another."""
    try:
        trees = [tomllib.loads(path.read_bytes().decode("utf-8-sig")) for path in (old, new)]
    except (OSError, ValueError) as error:
        return f": {error}"
    was, now = ({one.path: one.value for one in leaves(tree, (), "")} for tree in trees)
    told = [
        f"{'.'.join(path)} was {_shown(was, path)} and is {_shown(now, path)}"
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]
    return f": {'; '.join(told)}" if told else " (its settings are the same)"


def _shown(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    return short(values[path]) if path in values else "not set"
