"""Each file of a run is damaged in turn: every command then gives the right bytes, or says why not.

Takes about a quarter of an hour: three runs (finished, stopped, an adapter with its base), every
file of each, 26 damages a file, up to five commands a damage.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import constants

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import Interrupted
from tests.hub.client import TOKEN, User
from tests.hub.server import Hub
from tests.processes import contents

pytestmark = [
    pytest.mark.trial,
    # huggingface_hub's own, when it sends a file
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

ZEROS = 40_000
APART_S = 0.6
"""Signals of half a second are taken for one."""
PLACES = 20

IGNORED = ("report.html", ".lock")
"""Read by no command."""

Damage = Callable[[Path, Path], None]


def cut(share: float) -> Damage:
    def damage(path: Path, other: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def flip(place: int) -> Damage:
    def damage(path: Path, other: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            # Every bit has its turn, and the last place is the last byte.
            content[place * (len(content) - 1) // (PLACES - 1)] ^= 1 << place % 8
        path.write_bytes(content)

    return damage


def zeros(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    start = max(0, len(content) - ZEROS) // 2
    length = min(ZEROS, len(content) - start)
    content[start : start + length] = bytes(length)
    path.write_bytes(content)


def remove(path: Path, other: Path) -> None:
    path.unlink()


def replace(path: Path, other: Path) -> None:
    if other.is_file():
        shutil.copy(other, path)
    else:
        path.unlink()


DAMAGES: Mapping[str, Damage] = {
    "cut in the middle": cut(0.5),
    "cut near the end": cut(0.98),
    "emptied": cut(0),
    "removed": remove,
    "zeros": zeros,
    "of another run": replace,
    **{f"bit {place}": flip(place) for place in range(PLACES)},
}


@dataclass(frozen=True)
class Case:
    """A run to be damaged.

    Args:
        whole: The folder that is copied: the run in ``run``, perhaps its base in ``base``.
        other: The same of another run.
        finished: The run as it is when it is finished.
        commands: What is tried, by name; each with the run's folder put in.
    """

    whole: Path
    other: Path
    finished: Path
    commands: Mapping[str, list[str]]


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def call(words: list[str]) -> Done:
    out, err = io.StringIO(), io.StringIO()
    # Outside of pytest, which takes warnings for itself, they go to stderr.
    warnings = logging.StreamHandler(err)
    logging.getLogger("nextfill").addHandler(warnings)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(words)
    finally:
        logging.getLogger("nextfill").removeHandler(warnings)
    return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub() as hub:
        User(hub, tmp_path_factory.mktemp("home"))
        yield hub


@pytest.fixture(autouse=True)
def quiet_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(scope="module")
def settings(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return {
        **{"data": text_file, "cache_dir": tmp_path_factory.mktemp("cache"), "quiet": True},
        **{"max_steps": 6, "eval_every": 2, "save_every": 2, "batch_size": 2, "block_size": 32},
        **{"device": "cpu", "precision": "fp32", "learning_rate": 1e-2},
    }


PLACE: dict[str, Path] = {}
"""Where the runs lie while they are used, so that what names its folder is the same each time."""


@pytest.fixture(scope="module")
def cases(
    settings: dict[str, object], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Case]:
    root = tmp_path_factory.mktemp("runs")
    place = PLACE["now"] = root / "now"

    def kept(name: str, **changes: object) -> Path:
        folder = root / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tiny_model, place / "base")
        stop = changes.pop("stop", None)
        if stop is None:
            nextfill.train(model=place / "base", out=place / "run", **{**settings, **changes})
        else:
            with pytest.raises(Interrupted):
                nextfill.train(
                    model=place / "base",
                    out=place / "run",
                    observer=Stopped(int(str(stop))),
                    **{**settings, **changes},
                )
        shutil.copytree(place, folder)
        return folder

    best = {"keep": "best", "early_stopping": 3}
    run = str(place / "run")
    resume = ["train", "--out", run, "--resume", "--quiet"]
    evaluate = ["evaluate", run, "--json", "--quiet"]
    generate = ["generate", run, "The", "--json", "--max-new-tokens", "8"]
    report, share = ["report", run], ["share", run, "me/x"]
    of_adapter = {"lora_rank": 2, "learning_rate": 1e-1}
    finished, adapter = kept("finished", **best), kept("adapter", **of_adapter)
    everything = {"report": report, "evaluate": evaluate, "generate": generate, "share": share}
    return {
        "finished": Case(
            finished,
            kept("finished-other", **best, seed=1),
            finished,
            {**everything, "resume": resume},
        ),
        "stopped": Case(
            kept("stopped", **best, stop=5),
            kept("stopped-other", **best, seed=1, stop=5),
            finished,
            {"report": report, "resume": resume},
        ),
        "adapter": Case(
            adapter,
            kept("adapter-other", **of_adapter, seed=1),
            adapter,
            {"evaluate": evaluate, "generate": generate, "share": share, "resume": resume},
        ),
    }


class Stopped:
    """Stops a run after so many steps, by the signal that no shell has ignored for us."""

    def __init__(self, step: int) -> None:
        self._step = step

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None

    def on_step(self, event: dict[str, int], timing: object) -> None:
        if event["step"] == self._step:
            time.sleep(APART_S)
            os.kill(os.getpid(), signal.SIGTERM)


def put(source: Path) -> Path:
    """Copy a run to the place in which it is used."""
    place = PLACE["now"]
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    return place


def result_of(name: str, words: list[str], hub: Hub) -> tuple[Done, object]:
    """Return how a command ended, and what is to be the same of it."""
    hub.repos.clear()
    hub.stored.clear()
    done = call(words)
    shown: object = done.out
    if name == "report" and done.status == 0:
        shown = (PLACE["now"] / "run" / "report.html").read_text("utf-8")
    elif name == "share" and done.status == 0:
        shown = dict(hub.repos["models", "me/x"].head)
    elif name == "resume" and done.status == 0:
        shown = contents(PLACE["now"] / "run")
    return done, shown


def files_of(kind: str) -> list[str]:
    """Return the names of the files of a kind of run: those that such a run was seen to have."""
    logs = ["events.jsonl", "timing.jsonl"]
    static = ["config.toml", "measured.json", "ledger.json", "data.json", "checksums.json"]
    evaluations = [f"evaluations/step-{step:08d}.npz" for step in (0, 2, 4, 6)]
    parts = ("checksums.json", "config.toml", "cursor.json", "run.json")
    parts += ("model.safetensors", "optimizer.safetensors")
    model = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    tokens = "evaluations/tokens-00000000.npz"

    def checkpoints(*steps: int) -> list[str]:
        return [f"checkpoints/step-{step:08d}/{part}" for step in steps for part in parts]

    best = "checkpoints/best.safetensors"
    if kind == "finished":
        found = [*logs, *static, "texts.json", *evaluations, tokens, *checkpoints(4, 6), best]
        found += [f"model/{name}" for name in (*model, "model.safetensors", "README.md")]
    elif kind == "stopped":
        found = [*logs, *static, *evaluations[:3], tokens, *checkpoints(4, 5), best]
    else:
        ours = ("adapter_config.json", "adapter_model.safetensors", *model[2:])
        found = [*(f"run/model/{name}" for name in ours), *(f"base/{name}" for name in model)]
        return [*found, "base/model.safetensors"]
    return [f"run/{name}" for name in found]


FILES = [(kind, name) for kind in ("finished", "stopped", "adapter") for name in files_of(kind)]


@pytest.mark.parametrize("kind", ["finished", "stopped"])
def test_every_file_is_damaged_here(cases: dict[str, Case], kind: str) -> None:
    whole = cases[kind].whole
    there = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    there = {name for name in there if name.startswith("run/")}
    assert there - {f"run/{name}" for name in IGNORED} == set(files_of(kind))


RIGHT: dict[tuple[str, str], object] = {}


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_nothing_damaged_is_believed(
    cases: dict[str, Case], hub: Hub, kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case = cases[kind]
    counts: Counter[str] = Counter()
    for command, words in case.commands.items():
        if (kind, command) not in RIGHT:
            put(case.whole)
            done, RIGHT[kind, command] = result_of(command, words, hub)
            assert done.status == 0, done.err
            if command == "resume":
                assert same_but_checkpoints(RIGHT[kind, command], contents(case.finished / "run"))
    for damage, change in DAMAGES.items():
        place = put(case.whole)
        before = (place / name).read_bytes()
        change(place / name, case.other / name)
        if (place / name).is_file() and (place / name).read_bytes() == before:
            counts["nothing to damage"] += 1
            continue
        for command, words in case.commands.items():
            place = put(case.whole)
            change(place / name, case.other / name)
            done, found = result_of(command, words, hub)
            what = f"{kind} {name} {damage}: {command}"
            assert "Traceback" not in done.err, what
            if done.status == 2:
                assert "nextfill: " in done.err, what
                counts[f"{command} refused"] += 1
                continue
            assert done.status == 0, f"{what}: {done.status} {done.err}"
            if found == RIGHT[kind, command]:
                counts[f"{command} right"] += 1
                continue
            if "going on from step" in done.err:  # past the steps at which it had stopped
                assert command == "resume", what
                assert same_but_checkpoints(found, contents(case.finished / "run")), what
                counts["resume right from an older checkpoint"] += 1
                continue
            assert is_told(name, command, done), f"{what}: {differences(found, kind, command)}"
            counts[f"{command} told"] += 1
    with capsys.disabled():
        print(f"\n{kind} {name}: {dict(counts)}")


def same_but_checkpoints(found: object, whole: dict[str, bytes]) -> bool:
    """Say whether a run ended as another did; where it stopped it leaves checkpoints of its own."""
    assert isinstance(found, dict)
    ends = (
        {name: one for name, one in each.items() if not name.startswith("checkpoints/step-")}
        for each in (found, whole)
    )
    return next(ends) == next(ends)


def is_told(name: str, command: str, done: Done) -> bool:
    """Say whether what is not the same is of a file that cannot be made again, and said to be."""
    last = name.rpartition("/")[2]
    if last == "README.md":  # which its owner may change
        return "README.md" in done.err
    if command == "resume" and "evaluations/" in name:
        return "cannot be made again" in done.err
    if command == "resume" and "checkpoints/step-" in name:
        return "is damaged" in done.err and "is removed" in done.err
    return command == "resume" and last == "measured.json" and "made again" in done.err


def differences(found: object, kind: str, command: str) -> str:
    right = RIGHT[kind, command]
    if isinstance(found, dict) and isinstance(right, dict):
        names = found.keys() | right.keys()
        return f"differs in {sorted(n for n in names if found.get(n) != right.get(n))}"
    return f"found {str(found)[:200]!r}"
