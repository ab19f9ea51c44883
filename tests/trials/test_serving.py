"""A server under load: 64 clients for a minute, requests of a fuzzer, a lost process, its start.

Takes about a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import httpx2
import psutil
import pytest
from openai import OpenAI

pytestmark = pytest.mark.trial

CAUSAL, MASKED = "builtin:base-causal", "builtin:base-masked"
CLIENTS, LOAD_S = 64, 60
FUZZING_S, FUZZED = 600, 10_000
MOST_START = 1.2
START_TRIES = 3


def start(*words: str) -> tuple[subprocess.Popen[str], str]:
    """Begin a server in a process of its own; return it and its address."""
    command = [sys.executable, "-m", "nextfill", "serve", *words, "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    while not (found := re.search(r"at (http://\S+);", said)):
        line = process.stderr.readline()
        assert line, said
        said += line
    return process, found[1]


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, url = start(CAUSAL, MASKED, "--max-queued", "64")
    yield process, url
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


def body(number: int) -> dict[str, object]:
    words = ["Return the", "Compute", "Args:\n    x", "If", "A " * 40]
    rng = random.Random(number)
    return {
        **{"model": CAUSAL, "prompt": rng.choice(words), "seed": number % 7, "top_k": 50},
        **{"max_tokens": rng.choice([8, 30, 60]), "logit_bias": {"0": -100}},
    }


async def clients(url: str, count: int, seconds: float) -> tuple[int, dict[str, str]]:
    """Ask as so many clients for a while; return the tokens made, and the text of each request."""
    texts: dict[str, str] = {}
    deadline, made, numbers = time.monotonic() + seconds, 0, iter(range(10**9))

    async def one(client: httpx2.AsyncClient) -> None:
        nonlocal made
        while time.monotonic() < deadline:
            asked = body(next(numbers) % 40)
            answer = await client.post("/v1/completions", json=asked)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            made += told["usage"]["completion_tokens"]
            text = told["choices"][0]["text"]
            assert texts.setdefault(str(asked), text) == text, "another text in other company"

    limits = httpx2.Limits(max_connections=count)
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(count)))
    return made, texts


def test_many_clients_at_once(served):
    """No error, the same texts as alone, memory that stays, and at least thrice the tokens."""
    process, url = served
    alone, texts = asyncio.run(clients(url, 1, 15))
    asyncio.run(clients(url, CLIENTS, 20))
    (models,) = psutil.Process(process.pid).children()
    before = models.memory_info().rss
    together, many = asyncio.run(clients(url, CLIENTS, LOAD_S))
    after = models.memory_info().rss
    rates = alone / 15, together / LOAD_S
    print(f"tokens a second: {rates[0]:.0f} alone, {rates[1]:.0f} of {CLIENTS} clients")
    print(f"memory: {before / 1e6:.0f} MB, then {after / 1e6:.0f} MB")
    assert all(many[key] == text for key, text in texts.items() if key in many)
    assert after < 1.05 * before
    assert rates[1] >= 3 * rates[0]


def test_a_lost_process_is_begun_anew():
    """Killed while it writes: the client is told, the next request answered, the loss told."""
    process, url = start(CAUSAL)
    (models,) = psutil.Process(process.pid).children()
    asked = {"prompt": "Return", "max_tokens": 400, "stream": True, "logit_bias": {"0": -100}}
    with httpx2.stream("POST", f"{url}/v1/completions", json=asked, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        models.kill()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(lines)
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=5, timeout=60) as client:
        told = client.completions.create(model=CAUSAL, prompt="Return", max_tokens=3)
    assert told.choices[0].text
    assert "nextfill_restarts_total 1" in httpx2.get(f"{url}/metrics").text
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "was ended by SIGKILL" in errors


def test_a_fuzzer_finds_no_defect(served):
    """Ten thousand requests made from the description of the API: no status of 500 or above."""
    process, url = served
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    command = [sys.executable, "-c", program, "run"]
    command += [f"{url}/openapi.json", "--checks", "not_a_server_error", "--max-examples", "300"]
    command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure"]
    command += ["--request-timeout", "60", "--no-color"]
    before, seed = requests(url).total(), 0
    while (found := requests(url)).total() < before + FUZZED:
        done = subprocess.run(
            [*command, "--seed", str(seed)],
            capture_output=True,
            text=True,
            timeout=FUZZING_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert process.poll() is None
        seed += 1
    print(f"{found.total() - before:,} requests, {dict(found)} with those before them")
    assert not [status for status in found if status.startswith("5")], found


def requests(url: str) -> Counter[str]:
    """Count the requests so far by status, as the server does."""
    found = Counter[str]()
    for line in httpx2.get(f"{url}/metrics").text.splitlines():
        if line.startswith("nextfill_requests_total"):
            [status] = re.findall(r'status="(\d+)"', line)
            found[status] += int(float(line.rsplit(" ", 1)[1]))
    return found


def test_a_server_starts_little_later_than_its_libraries_are_imported():
    """From the command to the first token, against PyTorch and transformers' classes alone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    imports = "import torch; from transformers import LlamaForCausalLM, AutoTokenizer"
    ratios = []
    for _ in range(START_TRIES):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", imports], check=True, env=environment)
        alone = time.monotonic() - began
        began = time.monotonic()
        process, url = start(CAUSAL)
        httpx2.post(f"{url}/v1/completions", json={"prompt": "a", "max_tokens": 1}, timeout=60)
        ratios.append((time.monotonic() - began) / alone)
        process.terminate()
        process.communicate(timeout=60)
    print(f"start to first token over imports: {[round(one, 2) for one in ratios]}")
    assert statistics.median(ratios) <= MOST_START
