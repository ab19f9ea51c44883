"""What becomes of the memory of large tensors that are freed between small ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from transformers import GPT2Config, GPT2LMHeadModel

from nextfill.config import TrainConfig
from nextfill.models.allocator import tune_allocator
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from nextfill.training.distributed.ranks import ManyRanks
from nextfill.training.distributed.sharded_steps import ShardedTraining
from nextfill.training.optimizer import make_optimizer
from nextfill.training.setup import Setup

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc"),
]
MANY, NUMBERS = 60, 2**19
ROOT = Path(__file__).parents[3]


def resident_mb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("RssAnon"))


def keep() -> None:
    """Leave the allocator as it is."""


def hold_a_share() -> None:
    """Divide a model among the ranks of a group, which has one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16))
    setup = Setup(
        config=TrainConfig(),
        loaded=LoadedModel(model, tokenizer=None, name="model", objective="causal"),
        module=StepModule(model, Isolation("none", "causal")),
        prepared=None,
        batches=None,
        origin={},
        ranks=ManyRanks(0, 1),
    )
    optimizer = make_optimizer(model, setup.config.training)
    ShardedTraining(setup, optimizer, sees_folder=True)


def kept_mb(change: Callable[[], object]) -> int:
    """Free 120 MB of tensors, each between small ones, in a fork that changes something first."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        tune_allocator()
        change()
        before = resident_mb()
        small = []
        for _ in range(MANY):
            large = [torch.ones(NUMBERS) for _ in range(2)]
            small.append(torch.ones(NUMBERS // 64))
            del large[0]
            small.append(large)
        small = [one for one in small if isinstance(one, torch.Tensor)]
        os.write(writer, str(resident_mb() - before).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        return int(told.read())


FIGURES = """
import warnings
warnings.simplefilter("ignore")
from nextfill.models.allocator import return_large_tensors
from tests.unit.models.test_freed_memory import hold_a_share, keep, kept_mb
print(*map(kept_mb, (return_large_tensors, hold_a_share, keep)))
"""


def test_large_tensors_are_given_back_where_it_is_asked_for_and_by_a_rank_with_a_share():
    # A process that has done much has gaps in its heap, into which large tensors fit.
    found = subprocess.run(
        [sys.executable, "-c", FIGURES], check=True, capture_output=True, text=True, cwd=ROOT
    )
    given_back, of_shares, kept = map(int, found.stdout.split())
    assert given_back < 30
    assert of_shares < 30
    assert kept > 90
