"""Folders of runs, models and checkpoints, told by the files in them."""

from __future__ import annotations

import os
from pathlib import Path

from nextfill.core.checksums import CHECKPOINTS
from nextfill.core.errors import RunError
from nextfill.core.shell_command import shell_command, shell_word

RUNS = "runs"
"""The folder that runs are in unless they are told otherwise."""

_OF_A_RUN = ("ledger.json", "measured.json", "checksums.json")
_TEXTS = (".txt", ".docx", ".odt", ".rtf", ".epub", ".pdf")
_DEEPEST = 3
"""Folders above a file of a run: of a checkpoint's there are two between."""

_MOST = 3
"""Folders that a message names."""


def refuse_checkpoint(path: Path) -> None:
    """Refuse a checkpoint, or a run's folder of them, naming its run and its model if it has one.

    A checkpoint has the run's settings in it, so that config.toml alone does not tell a run.
    """
    # Names above it without following links, as the user knows the folders.
    whole = Path(os.path.abspath(path))  # noqa: PTH100
    if whole.name == CHECKPOINTS and (whole.parent / "config.toml").is_file():
        found, levels = "the folder of checkpoints", 1
    elif (path / "cursor.json").is_file() and (path / "config.toml").is_file():
        found, levels = "a checkpoint", 2
    else:
        return
    as_typed = len(path.parts) > levels and ".." not in path.parts
    run = (path if as_typed else whole).parents[levels - 1]
    if not (run / "config.toml").is_file():
        raise RunError(
            f"{path} is a checkpoint, which holds the state of a run and no model, and its run is "
            "not above it: name the run that it was copied from."
        )
    if (run / "model").is_dir():
        advice = f"Name the run, whose model is there: {shell_word(run)}"
    else:
        again = shell_command("train", "--out", run, "--resume")
        advice = f"The run has no model/ yet: finish it with: {again}"
    raise RunError(f"{path} is {found} of the run {shell_word(run)}, and no run or model. {advice}")


def run_of_file(path: Path) -> Path | None:
    """Return the run that a file is one of, which is no text of the user's; None for any other."""
    if not path.is_file() or path.suffix.lower() in _TEXTS:
        return None
    # Names above it without following links, as the user knows the folders.
    for above in [*path.parents][:_DEEPEST]:
        began = any((above / name).is_file() for name in _OF_A_RUN)
        if began and (above / "config.toml").is_file():
            return above
    return None


def model_below(folder: Path) -> Path | None:
    """Return the model in a folder of Keras's callback, which is no run and no model itself."""
    below = folder / "model"
    if (folder / "config.json").is_file() or not (below / "config.json").is_file():
        return None
    return below


def run_of_name(name: str | Path) -> str:
    """Return a hint at the run of a name without its folder, where runs are by default, or ""."""
    path = Path(name)
    if len(path.parts) != 1:
        return ""
    runs = sorted(one.parent for one in Path(RUNS).glob("*/config.toml"))
    found = [one for one in runs if one.name.lower() == path.name.lower()]
    return f" Did you mean {shell_word(found[0])}?" if found else ""


def folders_within(folder: Path) -> str:
    """Return a sentence on the runs and models in a folder that is none itself, or "".

    Such are a folder of runs, and the output_dir of a Trainer with its checkpoint-500.
    """
    if not folder.is_dir():
        return ""
    kinds = {"config.toml": "run", "config.json": "model", "adapter_config.json": "model"}
    found = {
        one: kind
        for one in folder.iterdir()
        for name, kind in kinds.items()
        if (one / name).is_file()
    }
    if not found:
        return ""
    names = sorted(found, key=lambda one: one.stat().st_mtime)
    shown = ", ".join(shell_word(one) for one in names[-_MOST:])
    nouns = " and ".join(sorted({f"{kind}s" for kind in found.values()}))
    return f"It holds {nouns}, the newest last: {shown}. Name one of them."
