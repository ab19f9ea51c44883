"""Servers for the tests: real sockets, the official clients, tiny models of several layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import openai
import pytest

import nextfill
from nextfill.serving.server import KEY_VARIABLE, Server

CHAT = (
    "{% for one in messages %}{% if one.role == 'robot' %}{{ raise_exception('no robots') }}"
    "{% endif %}[{{ one.role }}] {{ one.content }}\n{% endfor %}[assistant]"
)


@pytest.fixture(scope="session")
def chat_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model with a chat template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("served") / "talker"
    AutoModelForCausalLM.from_pretrained(tiny_model).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def served(
    chat_model: Path, tiny_masked: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of the bundled models, the talker and a tiny masked model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEY_VARIABLE, raising=False)
        patch.setenv("NEXTFILL_CACHE", str(tmp_path_factory.mktemp("cache")))
        names = ("builtin:base-causal", "builtin:base-masked", chat_model, tiny_masked)
        server = nextfill.serve(*names, port=0, wait=False, device="cpu", max_queued=16)
    with server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's own client of that server."""
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def http(served: Server) -> Iterator[httpx2.Client]:
    """A plain client of that server."""
    with httpx2.Client(base_url=served.url, timeout=60) as made:
        yield made


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """The function `nextfill.serve` on a free port; servers end with the test."""
    with ExitStack() as stack:

        def start(*models: object, **keywords: object) -> Server:
            server = nextfill.serve(*models, port=0, wait=False, device="cpu", **keywords)
            return stack.enter_context(server)

        yield start
