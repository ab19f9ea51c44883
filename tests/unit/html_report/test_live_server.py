"""The server of a live page: what it answers, to whom, and how it ends."""

from __future__ import annotations

import json
import re
import threading
from http.client import HTTPConnection

import pytest

import nextfill
from nextfill.html_report.live_server import address_of, live_server


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "run", finished=False)


@pytest.fixture
def server(run):
    served = live_server(run)
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def answer(server, path="/", method="GET", **headers):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response, response.read().decode()


def test_the_page_asks_its_own_server_alone(server):
    response, page = answer(server)
    assert response.status == 200
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "connect-src &#x27;self&#x27;" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert address_of(server).startswith("http://127.0.0.1:")
    assert server.server_address[0] == "127.0.0.1"


def test_the_state_follows_the_files(server, run):
    first = json.loads(answer(server, "/state")[1])
    assert first["words"] == "stopped after 60 steps"
    assert first == json.loads(answer(server, "/state")[1])
    with nextfill.runs.directory.RunDirectory(run).locked():
        with (run / "timing.jsonl").open("a") as file:
            file.write('{"step": 61, "tokens": 5, "elapsed_s": 1.0}\n')
        for _ in range(100):
            now = json.loads(answer(server, "/state")[1])
            if now["version"] != first["version"]:
                break
            threading.Event().wait(0.1)
    assert now["words"] == "under way: 60 steps so far"
    assert now["version"] in answer(server)[1].replace("&#x27;", "'")


def test_other_names_places_and_methods_are_refused(server):
    assert answer(server, Host="evil.example")[0].status == 403
    assert answer(server, "/config.toml")[0].status == 404
    assert answer(server, "/../run/config.toml")[0].status == 404
    assert answer(server, method="POST")[0].status == 501


def test_a_file_that_is_damaged_meanwhile_is_told_and_the_server_goes_on(server, run):
    whole = (run / "events.jsonl").read_bytes()
    threading.Event().wait(0.5)
    (run / "events.jsonl").write_bytes(b"\0\n" + whole)
    statuses = set()
    for _ in range(50):
        response, text = answer(server, "/state")
        statuses.add(response.status)
        if response.status == 503:
            assert "is damaged" in text
            break
        threading.Event().wait(0.1)
    assert 503 in statuses
    (run / "events.jsonl").write_bytes(whole)
    assert answer(server, "/state")[0].status == 200


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(nextfill.RunError, match="holds no run"):
        nextfill.report(tmp_path, live=True)
