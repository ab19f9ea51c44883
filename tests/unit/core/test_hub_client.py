"""How long the Hub is waited for, with a real client and a real server."""

import os
import time

import httpx2
import pytest
from huggingface_hub import HfApi, close_session, constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http, get_session, http_backoff

from nextfill.core import hub_client as limits
from nextfill.core.errors import HubError
from nextfill.core.hub_client import patient_hub
from tests.hub.server import Fault, Hub
from tests.representative import often


@pytest.fixture
def hub(monkeypatch):
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(limits, "PATIENCE_S", 0.5)
        monkeypatch.setattr(limits, "ANSWER_S", 0.5)
        hub.add("me/model", {"config.json": b"{}"})
        yield hub
        close_session()


def ask(hub):
    return http_backoff("GET", f"{hub.url}/api/models/me/model?x=signed")


def test_a_passing_fault_is_waited_out(hub, monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE_S", 5)
    hub.faults.append(Fault("info", status=503))
    with patient_hub():
        assert ask(hub).status_code == 200


@pytest.mark.parametrize(
    "fault", often([{"status": 503}, {"cut": "before"}, {"delay_s": 0.8}], [{"status": 503}])
)
def test_a_lasting_one_is_given_up(hub, fault):
    hub.faults.append(Fault("info", times=-1, **fault))
    start = time.monotonic()
    with (
        pytest.raises(HubError, match=r"127\.0\.0\.1 \(GET /api/models/me/model\)") as told,
        patient_hub(),
    ):
        ask(hub)
    assert time.monotonic() - start < 6
    assert "signed" not in str(told.value)


def test_nobody_waits_as_long_as_a_server_says(hub):
    hub.faults.append(Fault("info", status=429, headers={"Retry-After": "15"}))
    start = time.monotonic()
    with pytest.raises(HubError, match="asks to wait 15 seconds"), patient_hub():
        ask(hub)
    assert time.monotonic() - start < 10  # of the 15, on however slow a machine


def test_a_refusal_is_not_a_fault(hub):
    with patient_hub():
        for _ in range(2):
            with pytest.raises(HfHubHTTPError):
                HfApi().model_info("me/nothing")


def test_the_environment_is_given_back(monkeypatch):
    name = "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"
    with patient_hub():
        assert os.environ[name] == "2"
    assert name not in os.environ
    monkeypatch.setenv(name, "7")
    with patient_hub():
        assert os.environ[name] == "7"
    assert os.environ[name] == "7"


def test_the_users_own_client_is_kept_and_given_back(hub):
    made = []

    def factory():
        made.append(httpx2.Client(timeout=7))
        return made[-1]

    before = _http._GLOBAL_CLIENT_FACTORY
    set_client_factory(factory)
    try:
        with patient_hub(), patient_hub():
            assert get_session() is made[-1]
            assert get_session().timeout == httpx2.Timeout(7)
        assert _http._GLOBAL_CLIENT_FACTORY is factory
    finally:
        set_client_factory(before)
