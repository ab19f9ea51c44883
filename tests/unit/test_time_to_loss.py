"""The figures of benchmarks/time_to_loss.py are of the first score that is no higher."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def time_to_loss():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        path = ROOT / "benchmarks/time_to_loss.py"
        spec = importlib.util.spec_from_file_location("time_to_loss", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def run_of(*scores, before=(10.0, 5.0)):
    names = ("step", "loss", "seconds", "processor_s")
    return {
        "scores": [dict(zip(names, one, strict=True)) for one in scores],
        "before": dict(zip(names[2:], before, strict=True)),
    }


PEER = run_of((1, 5.0, 2, 1), (2, 4.0, 30, 20), (3, 4.5, 40, 30))


def test_the_ratio_is_of_the_peers_best_score_and_our_first_that_is_no_higher(time_to_loss):
    ours = run_of((1, 4.4, 1, 1), (2, 4.0, 6, 5), (3, 3.0, 9, 8), before=(4.0, 3.0))
    assert time_to_loss.ratio(PEER, ours) == {
        "seconds": 5.0,
        "processor_s": 4.0,
        "seconds from start": 4.0,
        "processor_s from start": 25 / 8,
    }
    assert time_to_loss.ratio(PEER, run_of((1, 4.0001, 1, 1))) is None


def test_a_seed_that_never_gets_there_is_the_worst(time_to_loss):
    medians = time_to_loss.medians
    three = [{"seconds": 3.0}, None, {"seconds": 4.0}]
    assert medians(three) == {"seconds": 3.0}
    assert medians([None, *three[:2]]) is None
    assert medians([None]) is None


def test_the_parts_share_no_text_and_masks_are_drawn_once(time_to_loss, tmp_path):
    questions = [{"answers": {"text": [f"answer {i} " + "word " * 9]}} for i in range(4000)]
    (tmp_path / "eli5_category").mkdir()
    packed = gzip.compress(json.dumps(questions).encode())
    (tmp_path / "eli5_category" / "test.json.gz").write_bytes(packed)
    parts = [*time_to_loss.texts_of("eli5", tmp_path)]
    assert sum(map(len, parts)) == len({text for part in parts for text in part}) == 4000
    saved = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        time_to_loss.write_blocks("eli5", "masked", tmp_path, 20, folder)
        saved.append(np.load(folder / "blocks.npz"))
    for name in saved[0]:
        assert np.array_equal(saved[0][name], saved[1][name])
    inputs, labels = saved[0]["held-out-inputs"], saved[0]["held-out-labels"]
    hidden = labels >= 0
    assert 0.1 < hidden.mean() < 0.2
    assert len(np.unique(inputs[hidden])) == 1


def test_a_score_is_the_mean_of_the_targets_nats_and_leaves_the_mode(time_to_loss):
    class Even(torch.nn.Module):
        def forward(self, input_ids):
            assert not self.training
            return type("Output", (), {"logits": torch.zeros(*input_ids.shape, 8)})

    model = Even().train()
    labels = np.full((40, 6), -100)
    labels[:, 2] = 3
    found = time_to_loss.score(model, np.zeros((40, 6), np.int64), labels)
    assert found == pytest.approx(np.log(8))
    assert model.training
