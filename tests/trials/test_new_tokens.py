"""A hundred new words of torch-docs in the bundled causal model: tokens fewer, bits no more.

Takes about six minutes: three seeds, with and without the words.
"""

from __future__ import annotations

from statistics import fmean

import pytest

import nextfill

pytestmark = pytest.mark.trial

JOB = {"data": "builtin:torch-docs", "eval_split": "test[:200]", "quiet": True, "max_steps": 60}
JOB |= {"block_size": 128, "batch_size": 8, "eval_every": 10**6, "save_every": 10**6}


def test_a_hundred_words_save_tokens_and_cost_no_bits(tmp_path):
    bits = {"with": [], "without": []}
    for seed in (0, 1, 2):
        own = nextfill.train(out=tmp_path / f"own-{seed}", seed=seed, **JOB)
        run = nextfill.train(
            out=tmp_path / f"new-{seed}", seed=seed, add_tokens_from_data=100, **JOB
        )
        bits["without"].append(own.after.bits_per_byte)
        bits["with"].append(run.after.bits_per_byte)
        assert len(run.new_words.words) == 100
        assert run.after.bytes == own.after.bytes
        assert run.after.targets < own.after.targets * 0.99
        assert run.new_words.without.bits_per_byte == pytest.approx(own.before.bits_per_byte)
    print(bits)
    assert fmean(bits["with"]) <= fmean(bits["without"])
    assert max(a - b for a, b in zip(bits["with"], bits["without"], strict=True)) < 0.01
