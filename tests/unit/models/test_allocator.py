"""Whether tensors, and the weights that texts are generated with, come to stand in large pages."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import nextfill
from nextfill.core.heap import give_back_free_memory
from nextfill.models.allocator import ask_for_large_pages, tune_allocator
from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.matrix_products import has_int8

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = [
    pytest.mark.skipif(
        platform.system() != "Linux" or platform.libc_ver()[0] != "glibc",
        reason="asks Linux for pages of glibc's heap",
    ),
    pytest.mark.skipif(
        not SETTING.is_file() or "[never]" in SETTING.read_text("utf-8"),
        reason="this machine gives no large pages to anyone",
    ),
]
ROOT = Path(__file__).parents[3]
LARGE = 2**25  # bytes


def large_mb() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("AnonHugePages"))


FORKS = """
import os
from tests.unit.models.test_allocator import *

while True:
    call = input()
    if not os.fork():
        print(*eval(call), flush=True)
        os._exit(0)
    if os.wait()[1]:
        print("failed", flush=True)
"""


@pytest.fixture(scope="module")
def asked() -> Iterator[Callable[[str], list[int]]]:
    """Return what a call of this file's functions returns, in a fork of a process made for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a fork has no threads of its parent
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask(call: str) -> list[int]:
        stdin.write(f"{call}\n")
        stdin.flush()
        return [int(number) for number in stdout.readline().split()]

    yield ask
    process.terminate()
    process.wait()
    stdin.close()
    stdout.close()


def tensors(*, prepared_before: bool) -> tuple[int, int]:
    """Return the megabytes in large pages that 32 MB of tensors add, unasked for and asked for."""
    start = large_mb()
    made = [torch.ones(LARGE // 4)]
    between = large_mb()
    tune_allocator()
    small: list[torch.Tensor] = []
    if prepared_before:
        both = [(torch.ones(LARGE // 8), torch.ones(2**10)) for _ in range(8)]
        small = [one for _, one in both]  # with gaps of 16 MB between them
        del both
        give_back_free_memory()
        assert ask_for_large_pages()
    asked = large_mb()
    made += [torch.ones(2**18) for _ in range(LARGE // 2**20)]
    found = between - start, large_mb() - asked
    del made, small
    return found


@pytest.mark.parametrize("prepared_before", [False, True])
def test_what_is_made_after_asking_stands_in_large_pages(asked, prepared_before):
    before, after = asked(f"tensors(prepared_before={prepared_before})")
    assert before == 0 or "[always]" in SETTING.read_text("utf-8")
    assert after >= 28


def training(folder: str) -> tuple[int]:
    """Return the megabytes in large pages after a step of training."""
    text = Path(folder) / "text.txt"
    text.write_text("".join(f"Line {n} of a text has {n * n} words.\n\n" for n in range(1500)))
    with redirect_stdout(io.StringIO()):
        nextfill.train(data=str(text), max_steps=1, batch_size=8, out=f"{folder}/run")
    return (large_mb(),)


def test_a_training_stands_in_large_pages_though_preparing_gives_memory_back(asked, tmp_path):
    (found,) = asked(f"training({str(tmp_path)!r})")
    assert found >= 100


def room_of(gigabytes: int) -> tuple[int, int, int]:
    """Return whether room was found, and the megabytes that asking and a tensor after it took."""
    tune_allocator()
    before = resident_mb()
    found = ask_for_large_pages(gigabytes * 2**30)
    asked = resident_mb()
    # Beyond what glibc's heap keeps in any case.
    made = [torch.empty(2**27), torch.ones(LARGE // 4)]
    figures = int(found), asked - before, large_mb()
    del made
    return figures


def resident_mb() -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))


def test_room_beyond_two_gigabytes_is_kept_and_takes_no_memory(asked):
    found, taken, large = asked("room_of(5)")
    assert found
    assert taken < 8
    assert large >= 28


def test_room_beyond_the_machine_is_not_found_and_nothing_fails(asked):
    found, taken, _ = asked("room_of(2**22)")
    assert not found
    assert taken < 8


def weights(form: str) -> tuple[int, int]:
    """Return the megabytes in large pages before and after 34 MB of float32 weights are read."""
    tune_allocator()
    torch.manual_seed(0)
    shape = {"n_embd": 256, "n_layer": 8, "n_head": 4, "vocab_size": 8192, "n_positions": 64}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=1)).eval()
    before = large_mb()
    assert read_decoder(model, form) is not None
    return before, large_mb()


@pytest.mark.skipif(not has_int8(), reason="this PyTorch has no products in 8 bits")
@pytest.mark.parametrize("form", ["half", "int8"])
def test_copies_of_weights_stand_in_large_pages(asked, form):
    before, after = asked(f"weights({form!r})")
    assert after - before >= (24 if form == "half" else 6)
