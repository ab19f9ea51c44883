"""The settings of a run that is gone on with: those that it has, and other steps on request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nextfill.config import DataConfig, TrainConfig
from nextfill.config.data_places import NAMES, is_kept_in_cache, with_names_of
from nextfill.config.layers import build
from nextfill.config.options import Assignment
from nextfill.config.options import settings as settings_of
from nextfill.config.problems.training_problems import (
    EPOCHS,
    MAX_STEPS,
    steps_problems,
    with_later_length,
)
from nextfill.config.recipe_file import CONFIG, absolute_paths, read_run_settings
from nextfill.config.shorthands import full_path, normal_form
from nextfill.core.errors import ConfigError, RunError, near
from nextfill.core.hub_client import is_pinned_form
from nextfill.core.model_folders import folders_within, refuse_checkpoint, run_of_name
from nextfill.core.paths import is_glob, is_there, nearest_path, user_path
from nextfill.core.shell_command import shell_command

OF_A_SCHEDULE = {("training", name) for name in ("learning_rate", "schedule", "warmup_steps")}
"""Settings that a schedule may begin anew with."""

OF_NO_RUN = {
    *(("training", "keep_checkpoints"), ("log_level",), ("nproc",), ("parallel",)),
    *(("cache_limit",), ("store",)),
}
"""Settings that change nothing of what a run comes to."""


_AFTER = frozenset({"share", "tracking"})
"""Sections of what is done with a run, which change nothing of it."""


def resumed_config(
    recipe: str | Path | None,
    layer: Sequence[Assignment],
    problems: Sequence[str],
    *,
    rewarm: bool = False,
) -> TrainConfig:
    """Return the settings of the run in ``out``, refusing any that differ but its steps.

    Args:
        recipe: There is none for a run, which has its own settings.
        layer: The settings that were typed.
        problems: Mistakes that were found among them before.
        rewarm: Whether a schedule begins anew, which may then be another.
    """
    config = build(TrainConfig, [layer], problems)
    if config.out is None or recipe is not None:
        named = config.out or recipe
        command = shell_command(
            "train", "--out", "RUN" if named is None else Path(named), "--resume"
        )
        raise ConfigError([f"To go on with a run type: {command}"])
    path = user_path(config.out, "--out")
    refuse_checkpoint(path)
    if not (path / CONFIG).is_file():
        beside = sorted(one.parent.name for one in path.parent.glob(f"*/{CONFIG}"))
        alike = [f"'{path.with_name(one)}'" for one in near(path.name, beside)]
        close = f" Did you mean {' or '.join(alike)}?" if alike else ""
        named = run_of_name(config.out) or close
        hint = folders_within(path) if path.exists() else named.strip()
        raise RunError(
            f"--resume: {path} holds no run (expected {path / CONFIG}).{hint and f' {hint}'}"
        )

    settings = read_run_settings(path)
    spelled_out = normal_form(TrainConfig, layer)
    free = {MAX_STEPS, EPOCHS} | OF_NO_RUN | (OF_A_SCHEDULE if rewarm else set())
    places = {item.path for item in spelled_out}
    if twice := [*steps_problems(spelled_out)]:
        raise ConfigError(twice)
    if rewarm and not places & {MAX_STEPS, EPOCHS}:
        raise ConfigError(
            ["--rewarm begins the schedule anew over further steps: give --max-steps or --epochs."]
        )
    kept = [item for item in spelled_out if item.path not in free]
    moved = _moved_or_refused(path, config, settings, kept)
    asked = [item for item in spelled_out if item.path in free or item.path[0] in _AFTER]
    changed = build(TrainConfig, [settings, asked])
    if moved:
        elsewhere = absolute_paths(build(TrainConfig, [settings, asked, moved]))
        changed = replace(changed, data=elsewhere.data, evaluation=elsewhere.evaluation)
    changed = with_later_length(changed, spelled_out)
    sets = changed.evaluation.sets.items()
    of_sets = [(one.source, f"--set evaluation.{key}=") for key, one in sets]
    check_recorded_data(path, [*names_of_data(changed.data), *of_sets], "to go on with it")
    return replace(changed, out=str(path))


def check_recorded_data(run: Path, named: Iterable[tuple[str, str]], purpose: str) -> None:
    """Refuse a run whose local data, named in its settings alone, are gone from their place.

    Args:
        run: The run.
        named: The names of its data, each with the flag that names it, or "".
        purpose: What they are needed for.
    """
    for name, flag in named:
        if not Path(name).is_absolute() or _are_in_place(name):
            continue
        other = shell_command("evaluate", run, "--data", Path("NEW"))
        again = shell_command("train", "--out", run, "--resume")
        moved = f" If they were moved, go on from where they are: {again} {flag}PLACE\n"
        raise RunError(
            f"The data of {run} are gone from {name}, where they were when it was trained: put "
            f"them back {purpose}.{moved if flag else ' '}To score other text: {other}"
        )


def _are_in_place(name: str) -> bool:
    """Tell data that are in their place, of a pattern the folder that it begins in.

    What a program handed over lies in the cache, and is answered there.
    """
    if is_kept_in_cache(name) or is_there(name):
        return True
    parts = Path(name).parts
    first = next((at for at, part in enumerate(parts) if is_glob(part)), len(parts))
    return is_glob(name) and Path(*parts[:first]).is_dir()


def names_of_data(data: DataConfig) -> list[tuple[str, str]]:
    """Return the names of a job's data, each with the flag that names it; of several none does."""
    flags = ("", "") if len(data.each) > 1 else ("--data ", "--eval-data ")
    named = [
        (name, flag)
        for one in data.each
        for name, flag in zip((one.source, one.eval_source), flags, strict=True)
    ]
    return [(name, flag) for name, flag in named if name is not None]


def _moved_or_refused(
    path: Path, config: TrainConfig, settings: Sequence[Assignment], layer: Sequence[Assignment]
) -> list[Assignment]:
    """Refuse settings, in normal form, that would change those of a run; return moved data's.

    Whether those hold the same bytes is seen when they are read.
    """
    recorded = build(TrainConfig, [settings])
    changed: list[str] = []
    other: list[Assignment] = []
    gone: list[str] = []
    moved: list[Assignment] = []
    for item in layer:
        place = full_path(TrainConfig, item)
        if place[0] in _AFTER:  # changes nothing of the run
            continue
        old, new = (_value_at(one, place) for one in (recorded, config))
        if place[0] == "data" and is_pinned_form(old, new):
            continue
        if place == ("out",) or new == "auto":  # the run records what auto came to
            continue
        with_it = absolute_paths(build(TrainConfig, [settings, [item]]))
        if with_it != recorded and with_names_of(with_it, recorded) == recorded:
            moved.append(item)
        elif with_it != recorded and place[-1] in NAMES and old and _is_no_place(new):
            gone.append(
                f"{item.label} {new!r}: there is no such file or folder."
                f"{nearest_path(user_path(new, item.label))} The run was trained on {old!r}; if "
                "that was moved, name where it is now."
            )
        elif with_it != recorded:
            changed.append(f"{item.label}: the run has {old!r}, not {new!r}.")
            other.append(replace(item, path=place, value=new))
            if place in OF_A_SCHEDULE:
                changed[-1] += " With --rewarm and more steps its schedule may begin anew."
    if changed:
        changed.append(
            "A resumed run keeps its settings, but for --max-steps and --epochs: leave these out, "
            f"or {_new_run_with(path, recorded, other)}"
        )
        advice = changed.pop()  # which is no setting, and not counted as one
        changed[-1] += f" {advice}"
    if gone or changed:
        raise ConfigError(list(dict.fromkeys([*gone, *changed])))
    return moved


def _new_run_with(path: Path, recorded: TrainConfig, other: Sequence[Assignment]) -> str:
    """Return the advice to make a new run with other settings, on a run's model if that may be."""
    kept = {"model"} if recorded.lora.rank is None else {"model", "lora"}
    if kept.isdisjoint(item.path[0] for item in other):
        return f"train its model further in a new run: {further_run(path, other)}"
    return f"begin a new run with them: {shell_command('train', path / CONFIG, *_typed(other))}"


def _is_no_place(name: object) -> bool:
    """Tell the path of nothing; what has a colon is an address or a name such as builtin:NAME."""
    return isinstance(name, str) and ":" not in name and not is_there(str(Path(name).expanduser()))


def _value_at(config: Any, path: Sequence[str]) -> Any:
    for name in path:
        config = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    return config


def further_run(path: Path, other: Iterable[Assignment] = ()) -> str:
    """Return the command that trains a run's model further, on its data, in a new run.

    Args:
        path: The run.
        other: Settings of the new run, by their full paths, that are others than the run has.
    """
    adapter = read_run_settings(path) if (path / CONFIG).is_file() else []
    begins_anew = any(one.path == ("lora", "init") and one.value == "eva" for one in adapter)
    words = [] if not begins_anew else ["--lora-init", "zero"]
    return shell_command("train", path / CONFIG, "--model", path, *words, *_typed(other))


def _typed(items: Iterable[Assignment]) -> Iterator[str]:
    """Yield the words of settings, as they are typed."""
    flags = {one.path: one for one in settings_of(TrainConfig)}
    for item in items:
        setting, value = flags.get(item.path), item.value
        if setting is None or isinstance(value, Mapping | DataConfig):
            yield from ("--set", f"{'.'.join(item.path)}={json.dumps(value, default=str)}")
        elif isinstance(value, bool):
            yield setting.flag if value else setting.flag.replace("--", "--no-", 1)
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                yield from (setting.flag, str(one))
