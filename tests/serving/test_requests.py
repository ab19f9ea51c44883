"""Requests as anybody sends them: malformed ones, other shapes, limits, keys, and clients gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, ValidationError
from pydantic import ValidationError as PydanticError

import nextfill
from nextfill.cli.main import main
from nextfill.serving.request_fields import CompletionBody

CAUSAL, MASKED = "builtin:base-causal", "builtin:base-masked"
OPEN = "0.0.0.0"  # noqa: S104 - the note on it is tested
JSON = {"Content-Type": "application/json"}

MALFORMED = {
    "no JSON": b"{",
    "empty": b"",
    "a list": b"[1]",
    "a number": b"7",
    "not UTF-8": b'{"prompt": "\xff"}',
    "UTF-16": '{"prompt": "a"}'.encode("utf-16"),
    "half a character": b'{"prompt": "\\ud800"}',
    "half a character deep": b'{"logit_bias": {"\\udc00": 1}}',
    "NaN": b'{"temperature": NaN}',
    "infinite": b'{"temperature": 1e999}',
    "deep": b"[" * 200_000,
    "deep in a field": b'{"metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "digits": b'{"n": ' + b"1" * 10_000 + b"}",
    "huge number": b'{"max_tokens": 99999999999999999999999}',
    "huge seed": b'{"seed": 99999999999999999999999}',
    "mixed prompt": b'{"prompt": ["a", 1]}',
    "boolean number": b'{"max_tokens": true}',
    "text for a number": b'{"max_tokens": "5"}',
    "below zero": b'{"max_tokens": -1}',
    "prompt of nothing": b'{"prompt": {}}',
    "no prompts": b'{"prompt": []}',
    "tiny temperature": b'{"temperature": 1e-320}',
    "empty stop": b'{"stop": [""]}',
    "no model": b'{"model": 5}',
    "unknown model": b'{"model": "\\u0000"}',
    "bias key": b'{"logit_bias": {"-1": 1}}',
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_is_refused_in_openais_shape(http, kind):
    answer = http.post("/v1/completions", content=MALFORMED[kind], headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(error["message"]) < 500
    assert http.get("/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/score", "/models/x"])
def test_other_bodies_are_refused_by_their_headers(http, path):
    body = {"content": b"{}"}
    assert http.post(path, **body).status_code == 415
    assert http.post(path, **body, headers={"Content-Type": "text/plain"}).status_code == 415
    gzipped = {**JSON, "Content-Encoding": "gzip"}
    assert http.post(path, **body, headers=gzipped).status_code == 415
    assert http.put(path, **body, headers=JSON).status_code == 405
    assert http.post("/nothing", **body, headers=JSON).status_code == 404
    large = b'{"prompt": "' + b"a" * 1_000_001 + b'"}'
    assert http.post(path, content=large, headers=JSON).status_code == 413

    def pieces():
        for _ in range(20):
            yield b"a" * 100_000

    assert http.post(path, content=pieces(), headers=JSON).status_code == 413


def test_the_hubs_client_fills_and_continues(served):
    masked = InferenceClient(base_url=f"{served.url}/models/{MASKED}")
    (found, *_), ours = masked.fill_mask("A [MASK] list."), nextfill.fill(MASKED, "A [MASK] list.")
    assert (found.token_str, found.sequence) == (ours[0]["token_str"], ours[0]["sequence"])
    assert found.score == pytest.approx(ours[0]["score"], abs=1e-6)
    assert len(masked.fill_mask("A ___ of ___.", top_k=2)) == 2
    of_two = masked.fill_mask("A ___ list.", targets=["new", "empty"])
    assert {one.token_str.strip() for one in of_two} == {"new", "empty"}
    causal = InferenceClient(base_url=f"{served.url}/models/{CAUSAL}")
    asked = {"prompt": "Return the", "max_new_tokens": 6}
    text = causal.text_generation(**asked)
    greedy = nextfill.generate(CAUSAL, "Return the", max_new_tokens=6, greedy=True)
    assert f"Return the{text}" == greedy[0]["generated_text"]
    assert "".join(causal.text_generation(stream=True, **asked)) == text
    details = causal.text_generation(details=True, **asked).details
    assert (details.finish_reason, len(details.tokens)) == ("length", 6)
    with pytest.raises(ValidationError, match="max-answer-tokens"):
        causal.text_generation("Return", max_new_tokens=4000)
    with pytest.raises(BadRequestError, match="no blank"):
        masked.fill_mask("Nothing is missing.")


def test_a_masked_models_score_hides_each_token(http):
    scored = http.post("/score", json={"model": MASKED, "text": ["Return the value.", ""]}).json()
    (one, empty) = scored["texts"]
    assert "".join(token["text"] for token in one["tokens"]) == "Return the value."
    assert all(token["nats"] > 0 for token in one["tokens"])
    for model in (CAUSAL, MASKED):
        refused = http.post("/score", json={"model": model, "text": "word " * 600})
        assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert empty == {"tokens": [], "nats": 0, "targets": 0}
    (filled, *_) = nextfill.fill(MASKED, "Return ___ value.", targets=["the"], precision="fp32")
    the = next(token for token in one["tokens"] if token["text"] == " the")
    assert filled["score"] == pytest.approx(2.718281828 ** -the["nats"], rel=1e-3)


def test_the_state_and_the_figures_are_told(http):
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    http.post("/v1/completions", json={"prompt": "a", "max_tokens": 3})
    lines = http.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values[f'nextfill_tokens_made_total{{model="{CAUSAL}"}}']) >= 3
    assert float(values['nextfill_requests_total{path="/v1/completions",status="200"}']) >= 1
    assert float(values["nextfill_request_seconds_count"]) >= 3
    assert {line.split()[1] for line in lines if line.startswith("#")} == {"HELP", "TYPE"}
    described = http.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    assert "/v1/completions" in described["paths"]


def test_the_page_asks_nobody_else(http):
    page = http.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "")


def test_a_stranger_by_another_name_is_refused(http):
    """As a page of the web would be whose name was made to mean this machine."""
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert http.get("/v1/models", headers={"Host": name}).status_code == 403
    for name in ("localhost:9", "127.0.0.1", "[::1]:80"):
        assert http.get("/v1/models", headers={"Host": name}).status_code == 200


def growing(server):
    return sum(one.loop.num_active + one.loop.num_waiting for one in server.service.loaded_models())


def wait_for(condition, most_s=10.0):
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


LONG = {"prompt": "Return", "max_tokens": 400, "logit_bias": {"0": -100}, "temperature": 0}
"""A text that does not end by itself."""


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_frees_its_place(served, stream):
    body = json.dumps({**LONG, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(served.url.removeprefix("http://").split(":")) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        wait_for(lambda: growing(served) == 1)
        made = served.service.loaded_models()[0].loop.tokens_made
    gone = time.monotonic()
    wait_for(lambda: growing(served) == 0)
    assert time.monotonic() - gone < 1
    assert served.service.loaded_models()[0].loop.tokens_made - made < 300


def test_a_masked_score_is_done_piece_by_piece(served, http):
    """So that others have their turn, and a client may go."""
    model = served.service.model_named(MASKED)
    text = "Return the number of values. " * 12
    encoded = model.encode_scored(text)
    pieces = model.score_parts(encoded, 0)
    assert len(pieces) == -(-len(encoded.pieces) // 32) > 2
    tokens = http.post("/score", json={"model": MASKED, "text": text}).json()["tokens"]
    assert "".join(one["text"] for one in tokens) == text
    short = model.encode_scored("Return the number")
    (work,) = model.score_parts(short, 1)
    found = model.loop.run(work).result()
    assert [one.likeliest[0][1] >= one.nats for _, one in found] == [True] * 3


@pytest.mark.trial
def test_headers_that_do_not_come_end_their_connection(serve, monkeypatch):
    monkeypatch.setattr("nextfill.serving.connection_limits.HEADER_PATIENCE_S", 0.3)
    server = serve(CAUSAL)
    address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for before, begun in ((b"", b""), (b"", b"POST /v1/comp"), (whole, b"GET /hea")):
        with socket.create_connection(address, timeout=10) as connection:
            if before:
                connection.sendall(before)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            connection.sendall(begun)
            assert connection.recv(4096) in (b"", b'{"status":"ok"}')
            assert connection.recv(4096) == b""
    body = json.dumps({**LONG, "max_tokens": 250}).encode()
    told = httpx2.post(f"{server.url}/v1/completions", content=body, headers=JSON, timeout=60)
    assert told.status_code == 200  # which takes longer than that


def test_a_list_of_mistakes_ends_at_the_first():
    for body in ({"prompt": [{}] * 1000}, {"prompt": [[{}] * 9] * 1000}, {"stop": [1] * 1000}):
        with pytest.raises(PydanticError) as caught:
            CompletionBody.model_validate(body)
        assert caught.value.error_count() < 10
    many = {str(token): 1 for token in range(1025)}
    with pytest.raises(PydanticError, match="1,024 at most"):
        CompletionBody.model_validate({"logit_bias": many})


def test_too_many_are_told_to_come_again(serve):
    server = serve(CAUSAL, max_concurrent=1, max_queued=1, max_seconds=1.0)
    url = f"{server.url}/v1/completions"
    asked = {"json": LONG, "timeout": 60}
    threads = [threading.Thread(target=httpx2.post, args=(url,), kwargs=asked) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: growing(server) == 2)
    refused = httpx2.post(url, json=LONG)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["code"] == "queue_full"
    server.close()
    for thread in threads:
        thread.join()


def test_a_text_ends_where_its_time_is_over(serve):
    server = serve(CAUSAL, max_seconds=0.1, max_answer_tokens=500, max_prompt_tokens=20)
    url = f"{server.url}/v1/completions"
    (told,) = httpx2.post(url, json=LONG, timeout=60).json()["choices"]
    assert (told["finish_reason"], told["stop_reason"]) == ("length", "time_limit")
    long = httpx2.post(url, json={"prompt": "word " * 30})
    assert long.status_code == 400
    assert long.json()["error"]["code"] == "context_length_exceeded"


def test_a_key_is_wanted_where_one_is_set(serve, monkeypatch, capfd):
    monkeypatch.setenv("NEXTFILL_API_KEY", "from-the-environment")
    for server, key in (
        (serve(CAUSAL, api_key="a secret key"), "a secret key"),
        (serve(CAUSAL), "from-the-environment"),
    ):
        with httpx2.Client(base_url=server.url) as client:
            for path in ("/v1/models", "/metrics", "/v1/models/x"):
                assert client.get(path).status_code == 401
            for given in ("Bearer wrong", "Bearer", key, f"Basic {key}", "Bearer \xff"):
                headers = {"Authorization": given.encode("latin-1")}
                told = client.get("/v1/models", headers=headers)
                assert told.status_code == 401
                assert told.json()["error"]["code"] == "invalid_api_key"
                assert key not in told.text
            headers = {"Authorization": f"Bearer {key}"}
            assert client.get("/v1/models", headers=headers).status_code == 200
            assert client.get("/ready").status_code == 200
            assert client.get("/", headers={"Host": "other.example"}).status_code == 200
        assert key not in repr(server.service.limits)
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err


def test_an_open_address_without_a_key_is_noted(capsys):
    notes = []

    class Notes(nextfill.Observer):
        def on_note(self, text):
            notes.append(text)

        def on_stage(self, label, done, total): ...

        def on_end(self): ...

    with nextfill.serve(CAUSAL, host=OPEN, port=0, wait=False, observer=Notes()):
        assert any("no key is wanted" in note for note in notes)
    notes.clear()
    with nextfill.serve(CAUSAL, host=OPEN, port=0, wait=False, api_key="k", observer=Notes()):
        assert not any("no key is wanted" in note for note in notes)


def test_a_taken_port_and_bad_settings_are_refused(served, capsys):
    port = served.url.rsplit(":", 1)[1]
    assert main(["serve", CAUSAL, "--port", port]) == 2
    assert "--port 0" in capsys.readouterr().err
    assert main(["serve", CAUSAL, CAUSAL, "--port", "0"]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main(["serve", CAUSAL, MASKED, "--revision", "main"]) == 2
    assert "--revision is one model's" in capsys.readouterr().err


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.trial), signal.SIGTERM]
)
def test_a_command_serves_until_a_signal(number, tmp_path):
    command = [sys.executable, "-m", "nextfill", "serve", CAUSAL, "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "NEXTFILL_API_KEY": "sesame"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    said = ""
    while "serving" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    url = next(word for word in said.split() if word.startswith("http")).rstrip(";")
    headers = {"Authorization": "Bearer sesame"}
    lines = []

    def follow():
        body = {**LONG, "max_tokens": 100, "stream": True}
        with httpx2.stream("POST", f"{url}/v1/completions", json=body, headers=headers) as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=follow)
    reader.start()
    figure = f'texts_growing{{model="{CAUSAL}"}} 1'
    wait_for(lambda: figure in httpx2.get(f"{url}/metrics", headers=headers).text)
    process.send_signal(number)
    _, rest = process.communicate(timeout=20)
    reader.join()
    assert process.returncode == 0, rest
    assert lines[-2] == "data: [DONE]"  # what had begun was finished
    assert "Traceback" not in said + rest
    assert "sesame" not in said + rest
