"""The figures of benchmarks/time_to_loss.py are of the first score that is no higher."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def module_of():
    """Return the modules of the benchmark by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module


def run_of(*scores, before=(10.0, 5.0)):
    names = ("step", "loss", "seconds", "processor_s")
    return {
        "scores": [dict(zip(names, one, strict=True)) for one in scores],
        "before": dict(zip(names[2:], before, strict=True)),
    }


PEER = run_of((1, 5.0, 2, 1), (2, 4.0, 30, 20), (3, 4.5, 40, 30))


def test_the_ratio_is_of_the_peers_best_score_and_our_first_that_is_no_higher(module_of):
    ours = run_of((1, 4.4, 1, 1), (2, 4.0, 6, 5), (3, 3.0, 9, 8), before=(4.0, 3.0))
    assert module_of("loss_ratios").ratio(PEER, ours) == {
        "seconds": 5.0,
        "processor_s": 4.0,
        "seconds from start": 4.0,
        "processor_s from start": 25 / 8,
    }
    assert module_of("loss_ratios").ratio(PEER, run_of((1, 4.0001, 1, 1))) is None


def test_a_seed_that_never_gets_there_is_the_worst(module_of):
    medians = module_of("loss_ratios").medians
    three = [{"seconds": 3.0}, None, {"seconds": 4.0}]
    assert medians(three) == {"seconds": 3.0}
    assert medians([None, *three[:2]]) is None
    assert medians([None]) is None


def test_the_parts_share_no_text_and_masks_are_drawn_once(module_of, tmp_path):
    questions = [{"answers": {"text": [f"answer {i} " + "word " * 9]}} for i in range(4000)]
    (tmp_path / "eli5_category").mkdir()
    packed = gzip.compress(json.dumps(questions).encode())
    (tmp_path / "eli5_category" / "test.json.gz").write_bytes(packed)
    parts = [*module_of("loss_blocks").texts_of("eli5", tmp_path)]
    assert sum(map(len, parts)) == len({text for part in parts for text in part}) == 4000
    saved = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        module_of("loss_blocks").write_blocks("eli5", "masked", tmp_path, 20, folder)
        saved.append(np.load(folder / "blocks.npz"))
    for name in saved[0]:
        assert np.array_equal(saved[0][name], saved[1][name])
    inputs, labels = saved[0]["held-out-inputs"], saved[0]["held-out-labels"]
    hidden = labels >= 0
    assert 0.1 < hidden.mean() < 0.2
    assert len(np.unique(inputs[hidden])) == 1


def test_a_score_is_the_mean_of_the_targets_nats_and_leaves_the_mode(module_of):
    class Even(torch.nn.Module):
        def forward(self, input_ids):
            assert not self.training
            return type("Output", (), {"logits": torch.zeros(*input_ids.shape, 8)})

    model = Even().train()
    labels = np.full((40, 6), -100)
    labels[:, 2] = 3
    found = module_of("loss_workers").score(model, np.zeros((40, 6), np.int64), labels)
    assert found == pytest.approx(np.log(8))
    assert model.training
