"""Files come from an address while bytes move, however long it takes, and not from a silent one."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from nextfill.core.errors import DataError
from nextfill.data.store import store_address
from nextfill.data.store.store_address import StoreAddress
from tests.file_servers import FileServer, serving

CONTENT = os.urandom(2_000_000)


@pytest.fixture(autouse=True)
def short_silence(monkeypatch):
    monkeypatch.setattr(store_address, "ANSWER_S", 1.0)


@pytest.mark.parametrize("silent_from", [0, 1, 1_000_000])
def test_a_server_that_says_nothing_any_more_is_told(silent_from, tmp_path):
    with serving(FileServer(CONTENT, silent_from=silent_from)) as server:
        began_s = time.monotonic()
        with pytest.raises(DataError) as raised:
            StoreAddress(server.address).fetch("key/tokens.bin", tmp_path / "tokens.bin")
        assert 1.0 < time.monotonic() - began_s < 5.0
    assert str(raised.value) == (
        f"--store {server.address!r} cannot be read: no byte has moved for 1 seconds. To go on "
        "without it, leave --store out."
    )


def test_a_slow_server_is_waited_for_as_long_as_bytes_come(tmp_path):
    with serving(FileServer(CONTENT, pause_s=0.15)) as server:
        began_s = time.monotonic()
        StoreAddress(server.address).fetch("key/tokens.bin", tmp_path / "tokens.bin")
        assert time.monotonic() - began_s > 2.5
    assert (tmp_path / "tokens.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_a_connection_that_is_lost_costs_another_try_and_the_third_is_the_last(cuts, tmp_path):
    with serving(FileServer(CONTENT, cut_at=700_000, cuts=cuts)) as server:
        address = StoreAddress(server.address)
        if cuts < store_address.TRIES:
            address.fetch("key/tokens.bin", tmp_path / "tokens.bin")
            assert (tmp_path / "tokens.bin").read_bytes() == CONTENT
            assert server.requests == cuts + 1
        else:
            with pytest.raises(DataError, match="leave --store out"):
                address.fetch("key/tokens.bin", tmp_path / "tokens.bin")
            assert server.requests == store_address.TRIES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_of_this_machine_is_not_the_address_s_fault(tmp_path):
    (tmp_path / "tokens.bin").write_bytes(CONTENT)
    with pytest.raises(OSError, match="No space left") as raised:
        StoreAddress(str(tmp_path)).fetch("tokens.bin", Path("/dev/full"))
    assert raised.value.errno == errno.ENOSPC
