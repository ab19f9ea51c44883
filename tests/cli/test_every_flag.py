"""Every setting of every command, at the command line, in a recipe and from Python: each is heard.

The settings come from the config classes, so that a new one without a value to try it with fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import tomli_w

import nextfill
from nextfill.cli.main import COMMANDS, main
from nextfill.config import PackConfig, TrainConfig
from nextfill.config.options import Setting, sections, settings
from tests.cli.setting_values import (
    COMPANIONS,
    GIVEN,
    OF_ONE_AMONG_SEVERAL,
    OF_ONE_COMMAND,
    OTHER,
    REFUSED,
    WORDS,
    Path_,
)

SETTLING = {
    "train": ("nextfill.api.train", "config_with_files"),
    "look": ("nextfill.api.look", "look_config"),
    "prepare": ("nextfill.api.prepare", "resolve"),
    "evaluate": ("nextfill.api.inference", "config_with_files"),
    "generate": ("nextfill.api.inference", "generate_config"),
    "fill": ("nextfill.api.inference", "fill_config"),
    "serve": ("nextfill.api.serve", "serve_config"),
    "cache list": ("nextfill.api.cache", "build"),
    "cache size": ("nextfill.api.cache", "build"),
    "cache prune": ("nextfill.api.cache", "build"),
    "share": ("nextfill.api.share", "build"),
    "export": ("nextfill.api.export", "export_config"),
    "bundle": ("nextfill.api.share", "build"),
    "track": ("nextfill.api.track", "build"),
    "report": ("nextfill.api.report", "build"),
    "tokenizer train": ("nextfill.api.tokenizer", "resolve"),
    "tokenizer inspect": ("nextfill.api.tokenizer", "resolve"),
    "packed_dataset": ("nextfill.api.packed_dataset", "resolve"),
}
"""Where each verb's settings become its config; what comes after is left out here."""

VERBS = {
    "cache list": nextfill.list_cache,
    "cache prune": nextfill.prune_cache,
    "tokenizer train": nextfill.train_tokenizer,
    "tokenizer inspect": nextfill.inspect_tokenizer,
    **{
        n: getattr(nextfill, n)
        for n in ("train", "look", "prepare", "evaluate", "generate", "fill", "serve", "export")
    },
    "share": nextfill.share,
    "bundle": nextfill.bundle,
    "track": nextfill.track,
    "report": nextfill.report,
    "packed_dataset": partial(nextfill.packed_dataset, part="train"),
}

ROOTS = {name: command.root for name, command in COMMANDS.items() if settings(command.root)}


class Settled(BaseException):
    """Carries a config out of the verb that made it."""

    def __init__(self, config: Any) -> None:
        self.leaves = dict(leaves(dataclasses.asdict(config)))


def leaves(tree: Mapping[str, Any], place: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, value in tree.items():
        here = (*place, key)
        if isinstance(value, Mapping) and value and len(here) == 1:
            yield from leaves(value, here)
        else:
            yield here, value


@pytest.fixture(autouse=True)
def stop_there(monkeypatch, tmp_path):
    """Let every verb end once its config is made."""
    monkeypatch.chdir(tmp_path)

    def settled(real: Any) -> Any:
        def stop(*words: Any, **keywords: Any) -> Any:
            made = real(*words, **keywords)
            raise Settled(made[0] if isinstance(made, tuple) else made)

        return stop

    for module_name, name in set(SETTLING.values()):
        module = import_module(module_name)
        monkeypatch.setattr(module, name, settled(getattr(module, name)))


def tried(root: type, hidden: tuple[str, ...] = ()) -> list[Setting]:
    return [one for one in settings(root) if one.flag not in hidden]


def of_commands() -> list[Any]:
    return [
        pytest.param(name, one, id=f"{name} {one.flag}")
        for name, root in ROOTS.items()
        for one in tried(root, ("--model",) if name in WORDS else ())
    ]


def value_of(command: str, path: Path_) -> Any:
    return OF_ONE_COMMAND.get((command, path), OTHER[path])


def words_of(command: str, given: Mapping[Path_, Any]) -> list[str]:
    words = WORDS.get(command, [])
    return words[:1] if ("prompts", "source") in given else words


def at_flag(setting: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [setting.flag if value else f"--no-{setting.flag.removeprefix('--')}"]
    values = value if isinstance(value, list) else [value]
    return [f"{setting.flag}={one}" for one in values]


def config_of(command: str, given: Mapping[Path_, Any]) -> dict[Path_, Any]:
    """Return the config that a command line makes."""
    by_path = {one.path: one for one in settings(ROOTS[command])}
    flags = [word for path, value in given.items() for word in at_flag(by_path[path], value)]
    with pytest.raises(Settled) as made:
        main([*command.split(), *words_of(command, given), *flags])
    return made.value.leaves


def keywords_of(command: str, root: type, given: Mapping[Path_, Any]) -> dict[Path_, Any]:
    """Return the config that keywords make."""
    by_path = {one.path: one for one in settings(root)}
    keywords = {by_path[path].keyword: value for path, value in given.items()}
    with pytest.raises(Settled) as made:
        VERBS[command](*words_of(command, given), **keywords)
    return made.value.leaves


def check_heard(path: Path_, value: Any, plain: Mapping[Path_, Any], other: Any) -> None:
    changed = {place for place in plain if plain[place] != other[place]}
    assert changed == {path}
    assert other[path] == value


def test_every_setting_has_a_value_to_be_tried_with():
    every = {one.path for root in (*ROOTS.values(), PackConfig) for one in settings(root)}
    for root in (*ROOTS.values(), PackConfig):
        every |= {(f.name,) for f in dataclasses.fields(root) if f.name not in sections(root)}
        for name, section in sections(root).items():
            every |= {(name, item.name) for item in dataclasses.fields(section)}
    assert every - OF_ONE_AMONG_SEVERAL == OTHER.keys()
    assert ROOTS.keys() <= SETTLING.keys()


@pytest.mark.parametrize(("command", "setting"), of_commands())
def test_every_flag_changes_its_setting_and_nothing_else(command, setting, capsys):
    path, before = setting.path, GIVEN.get(command, {}) | COMPANIONS.get(setting.path, {})
    value = value_of(command, path)
    if path in REFUSED.get(command, ()):
        assert main([*command.split(), *WORDS.get(command, []), *at_flag(setting, value)]) == 2
        reasons = (" is for training", " is for preparing", ": masks are for masked models")
        told = capsys.readouterr().err
        assert any(f"{setting.flag}{reason}" in told for reason in reasons)
        return
    plain, other = config_of(command, before), config_of(command, {**before, path: value})
    check_heard(path, value, plain, other)


@pytest.mark.parametrize("command", VERBS)
def test_every_keyword_is_heard_as_its_flag_is(command):
    root = ROOTS.get(command, PackConfig)
    named = {("model", "name")} if command in WORDS else set()
    for setting in tried(root):
        path = setting.path
        if path in REFUSED.get(command, ()) or path in named:
            continue
        before = GIVEN.get(command, {}) | COMPANIONS.get(path, {})
        if command == "packed_dataset" and path[0] == "masking":
            before |= {("objective",): "masked"}
        value = value_of(command, path)
        plain = keywords_of(command, root, before)
        check_heard(path, value, plain, keywords_of(command, root, {**before, path: value}))


def every_setting_of_train() -> list[Path_]:
    nested = sections(TrainConfig)
    top = [(f.name,) for f in dataclasses.fields(TrainConfig) if f.name not in nested]
    within = [(n, f.name) for n, kind in nested.items() for f in dataclasses.fields(kind)]
    return [path for path in (*top, *within) if path not in OF_ONE_AMONG_SEVERAL]


@pytest.mark.parametrize("way", ["a recipe", "--set"])
def test_every_setting_is_heard_in_a_recipe_and_by_set(way, tmp_path):
    for path in every_setting_of_train():
        given = GIVEN["train"] | COMPANIONS.get(path, {})
        plain = config_of("train", given)
        value, tree = value_of("train", path), dict[str, Any]()
        for (*section, key), companion in given.items():
            (tree.setdefault(section[0], {}) if section else tree)[key] = companion
        place: tuple[str, ...] = path
        if path == ("data", "sources"):  # a list of tables in the place of the section
            place = ("data",)
        elif path == ("evaluation", "sets"):
            place, value = ("evaluation", "far"), value["far"]
        if way == "a recipe":
            node: Any = tree
            for key in place[:-1]:
                node = node.setdefault(key, {})
            node[place[-1]] = value
            (tmp_path / "one.toml").write_text(tomli_w.dumps(tree), "utf-8")
            words = ["one.toml"]
        else:
            written = " ".join(tomli_w.dumps({"x": [value]}).removeprefix("x = ").split())
            inner = written.removeprefix("[").removesuffix("]").strip().removesuffix(",")
            by_path = {one.path: one for one in settings(TrainConfig)}
            flags = {one: other for one, other in given.items() if one != path}
            words = [word for one, other in flags.items() for word in at_flag(by_path[one], other)]
            words += ["--set", f"{'.'.join(place)}={inner}"]
        with pytest.raises(Settled) as made:
            main(["train", *words])
        changed = {one for one in plain if plain[one] != made.value.leaves[one]}
        if path in (("data", "sources"), ("evaluation", "sets")):
            assert changed == {path}
            text = str(made.value.leaves[path])
            assert "builtin:" in text
            assert "'line'" in text
        elif path[0] == "model" and path[1] == "config":
            assert made.value.leaves[path] == value
        else:
            assert changed == {path}, path
            assert made.value.leaves[path] == value
