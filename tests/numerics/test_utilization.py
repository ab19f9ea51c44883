"""FLOPs of a step by formula are as PyTorch counts them; peaks are of known devices alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nextfill.models.documents.isolation import Isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import Batch
from nextfill.terminal.progress_bar import TrainingPace
from nextfill.training.utilization import peak_flops, step_flops, utilization


def batch_of(rows: int, length: int) -> Batch:
    ids = np.random.default_rng(0).integers(5, 300, (rows, length))
    positions = np.broadcast_to(np.arange(length), ids.shape).copy()
    labels = np.roll(ids, -1, axis=1)
    labels[:, -1] = -100
    return Batch(ids, labels, positions, np.zeros_like(ids))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt"])
def test_the_formula_is_what_pytorch_counts(make_model: Callable[..., Any], kind: str) -> None:
    """But for norms and biases, which it counts as if they were of products."""
    model = make_model(kind)
    model.set_attn_implementation("eager")  # whose products PyTorch counts on a CPU
    batch = batch_of(3, 48)
    module, tensors = StepModule(model, Isolation("pad")), to_tensors(batch, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        module(*tensors).mean().backward()
    found = step_flops(model, batch)
    assert found == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_documents_count_by_themselves_and_padding_not_at_all(
    make_model: Callable[..., Any],
) -> None:
    model = make_model("llama")
    whole = batch_of(1, 48)
    halves = np.array([[0] * 24 + [1] * 24])
    split = Batch(whole.input_ids, whole.labels, whole.position_ids, halves)
    width = model.config.num_hidden_layers * model.config.hidden_size
    saved = step_flops(model, whole) - step_flops(model, split)
    assert saved == 12 * width * (48**2 - 2 * 24**2)
    labels = np.where(np.arange(48) < 24, whole.labels, -100)
    padded = Batch(whole.input_ids, labels, whole.position_ids, np.where(halves, -1, 0))
    assert step_flops(model, padded) == step_flops(model, padded.rows(0, 1).some(np.array([0]), 24))


def test_what_is_not_trained_has_no_gradient_of_its_own(make_model: Callable[..., Any]) -> None:
    model, batch = make_model("llama"), batch_of(1, 8)
    trained = step_flops(model, batch)
    model.requires_grad_(False)
    assert 0.6 * trained < step_flops(model, batch) < 0.75 * trained


def test_mixtures_and_state_spaces_are_unknown(make_model: Callable[..., Any]) -> None:
    assert step_flops(make_model("mixtral"), batch_of(1, 8)) is None
    assert step_flops(make_model("mamba"), batch_of(1, 8)) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA L40", None),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
        ("AMD Instinct MI300X", None),
    ],
)
def test_peaks_are_of_the_device_named_so(name: str, peak: float | None) -> None:
    assert peak_flops(name, "bf16") == peak
    assert peak_flops(name, "fp32") is None


def test_nothing_is_told_of_a_cpu(make_model: Callable[..., Any]) -> None:
    cpu = torch.device("cpu")
    assert utilization(make_model("gpt2"), batch_of(1, 8), 1.0, "bf16", cpu) == {}


def test_progress_shows_the_share_of_a_gpu_alone() -> None:
    pace = TrainingPace(10)
    pace.add({"tokens": 100, "elapsed_s": 1.0})
    assert not any("MFU" in one for one in pace.figures(1, 2.0))
    pace = TrainingPace(10)
    for seconds, used in ((1.0, 0.2), (3.0, 0.4)):
        pace.add({"tokens": 100, "elapsed_s": seconds, "mfu": used})
    assert "35% MFU" in pace.figures(2, 2.0)
