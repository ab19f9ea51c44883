"""Ranks that no launcher of ours has started: each has a command of its own."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import IO

import pytest

from tests.rank_runs import (
    SAME,
    done,
    environment,
    nextfill,
    torchrun,
)

pytestmark = pytest.mark.trial


def started_by_hand(
    port: int, of_rank: list[list[str]], text: IO[str] | None = None
) -> list[tuple[int, str]]:
    """Start ranks without a launcher, each with a command of its own; return how they ended."""
    processes = [
        subprocess.Popen(
            command,
            stdin=text,
            env={
                **environment(),
                "RANK": str(rank),
                "WORLD_SIZE": str(len(of_rank)),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(of_rank)
    ]
    return [
        (process.returncode, errors)
        for process in processes
        for errors in [process.communicate(timeout=120)[1]]
    ]


def test_ranks_that_see_different_data_are_refused(
    tiny_model, text_file, paragraphs, free_port, tmp_path
):
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(paragraphs(60, seed=1)))
    commands = [
        nextfill("--model", tiny_model, "--data", data, *SAME, "--out", tmp_path / "run")
        for data in (text_file, other)
    ]
    ends = started_by_hand(free_port, commands)
    assert [status for status, _ in ends] == [2, 2]
    told = [errors for _, errors in ends if errors]
    assert len(told) == 1
    assert re.search("rank 1 in .*data", told[0])
    assert not (tmp_path / "run").exists()


def test_an_error_of_one_rank_alone_ends_all(tiny_model, text_file, free_port, tmp_path):
    commands = [
        nextfill("--model", tiny_model, "--data", data, *SAME, "--out", tmp_path / "run")
        for data in (text_file, tmp_path / "absent.txt")
    ]
    ends = started_by_hand(free_port, commands)
    assert [status for status, _ in ends] == [2, 2]
    told = [errors for _, errors in ends if errors]
    assert len(told) == 1
    assert "rank 1 of 2: --data" in told[0]
    assert not (tmp_path / "run").exists()


def test_standard_input_is_no_data_of_ranks(tiny_model, text_file, free_port, tmp_path):
    words = ["--model", tiny_model, "--data", "-", *SAME, "--out", tmp_path / "run"]
    with text_file.open() as text:
        ends = started_by_hand(free_port, 2 * [nextfill(*words)], text)
        assert text.buffer.read() == text_file.read_bytes()
    assert [status for status, _ in ends] == [2, 2]
    [told] = [errors for _, errors in ends if errors]
    assert "--data -: standard input is read once, and here are 2 ranks" in told


def test_an_error_of_the_rank_that_serves_the_store_is_told_once(
    tiny_model, text_file, free_port, tmp_path
):
    commands = [
        nextfill("--model", tiny_model, "--data", data, *SAME, "--out", tmp_path / "run")
        for data in (tmp_path / "absent.txt", text_file)
    ]
    ends = started_by_hand(free_port, commands)
    assert [status for status, _ in ends] == [2, 2]
    [told] = [errors for _, errors in ends if errors]
    assert "absent.txt" in told


def test_a_port_in_use_is_told(tiny_model, text_file, free_port, tmp_path):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port))
        holder.listen()
        words = ["--model", tiny_model, "--data", text_file, *SAME, "--out", tmp_path / "run"]
        started = time.monotonic()
        [(status, errors), (_, others)] = started_by_hand(free_port, 2 * [nextfill(*words)])
        assert time.monotonic() - started < 100
    assert status == 2
    assert f"127.0.0.1:{free_port}" in errors
    assert "may be in use" in errors
    assert "Traceback" not in errors + others


def test_what_torchrun_starts_prints_one_result(tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *SAME, "--out", tmp_path / "run", "--json"]
    ended = done(torchrun(2, 0, *words))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] == 9
