"""The callback of each epoch: its lines, its folder, and its pushes to a small Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nextfill
from tests.hub.client import TOKEN
from tests.hub.server import Account, Hub
from tests.keras.test_fit import CONFIGS, TEXTS
from tests.keras.tiny_models import torch_model

# huggingface_hub's own, when it sends a file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with Hub() as hub:
        hub.accounts[TOKEN] = Account("me")
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        yield hub


def fit(callback: Any, epochs: int, first: int = 0) -> Any:
    blocks = nextfill.packed_dataset(data=TEXTS, block_size=32, model="builtin:base-causal")
    train_set = nextfill.keras.dataset(blocks, batch_size=8)
    model = nextfill.keras.from_transformers(torch_model(CONFIGS["causal"]))
    model.compile(optimizer=nextfill.keras.adamw(model, 20, learning_rate=1e-3))
    model.fit(
        train_set,
        epochs=epochs,
        initial_epoch=first,
        shuffle=False,
        callbacks=[callback],
        verbose=0,
    )
    return model


def lines(folder: Path) -> list[int]:
    text = (folder / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["epoch"] for line in text.splitlines()]


def test_an_epoch_that_is_trained_again_has_one_line(tmp_path: Path) -> None:
    fit(nextfill.keras.Callback(tmp_path), epochs=3)
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "epoch", "ep')  # of one that was killed
    fit(nextfill.keras.Callback(tmp_path), epochs=2, first=1)
    assert lines(tmp_path) == [1, 2]
    fit(nextfill.keras.Callback(tmp_path), epochs=3, first=2)
    assert lines(tmp_path) == [1, 2, 3]


def test_a_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    fit(nextfill.keras.Callback("~/guide"), epochs=1)
    assert (tmp_path / "home" / "guide" / "model" / "config.json").is_file()
    assert not (tmp_path / "~").exists()


def test_every_epoch_is_pushed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    callback = nextfill.keras.Callback(tmp_path / "out", share="me/model")
    fit(callback, epochs=2)
    assert [event["shared"] for event in callback.events] == [f"{hub.url}/me/model"] * 2
    weights = (tmp_path / "out" / "model" / "model.safetensors").read_bytes()
    assert weights in [*hub.stored.values()] or weights in [*hub.repos["me/model"].files.values()]


def test_one_who_is_not_logged_in_hears_of_it_before_the_first_epoch(
    hub: Hub, tmp_path: Path
) -> None:
    callback = nextfill.keras.Callback(tmp_path / "out", share="me/model")
    with pytest.raises(nextfill.NextfillError, match="nextfill login"):
        fit(callback, epochs=1)
    assert not (tmp_path / "out" / "model").exists()


def test_a_name_that_the_hub_does_not_have_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(nextfill.ConfigError, match="a/b/c"):
        nextfill.keras.Callback(tmp_path, share="a/b/c")
