"""What tests of token stores share."""

from __future__ import annotations

import time

import pytest

from nextfill.data.records.files import SURE_NS
from nextfill.data.store.encoder import Encoder
from tests.unit.data.store.small_documents import WORDS


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every file was changed well before now."""
    really = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: really() + 10 * SURE_NS)


@pytest.fixture
def encoder() -> Encoder:
    """An encoder of a few words."""
    return Encoder(WORDS, engine="tokenizers")
