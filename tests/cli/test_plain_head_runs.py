"""Runs that make no whole logits: as exact to resume, and with the losses of those that do."""

from __future__ import annotations

import json

import pytest
import torch

from nextfill.cli.main import main
from nextfill.models import head_loss
from nextfill.models.head_loss import PlainHead


@pytest.fixture
def words(tiny_model, text_file):
    given = ["train", "--data", str(text_file), "--model", str(tiny_model), "--quiet"]
    given += ["--block-size", "32", "--batch-size", "4", "--test-size", "5"]
    return [*given, "--eval-every", "1000", "--set", "training.dropout=0.1"]


@pytest.fixture
def every_head(monkeypatch):
    """Leave out every plain head, however few the logits, and count how often."""
    monkeypatch.setattr(head_loss, "_FEW", 0)
    calls, own = [], PlainHead.nats
    monkeypatch.setattr(PlainHead, "nats", lambda *args: calls.append(args) or own(*args))
    return calls


def losses(run):
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    return [event["loss"] for event in map(json.loads, lines) if event["event"] == "step"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_stopped_half_way_ends_with_the_same_bytes(
    precision, words, every_head, tmp_path
):
    words += ["--precision", precision]
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert main([*words, "--max-steps", "6", "--save-every", "3", "--out", str(whole)]) == 0
    assert len(every_head) == 6
    torch.manual_seed(99)

    class Stop(Exception):  # noqa: N818
        pass

    own = PlainHead.nats

    def stop(*args):
        if len(every_head) == 6 + 4:
            raise Stop
        return own(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlainHead, "nats", stop)
        with pytest.raises(Stop):
            main([*words, "--max-steps", "6", "--save-every", "3", "--out", str(halved)])
    assert main(["train", "--out", str(halved), "--resume", "--quiet"]) == 0
    for name in ("model/model.safetensors", "checkpoints/step-00000006/optimizer.safetensors"):
        assert (halved / name).read_bytes() == (whole / name).read_bytes()
    assert losses(halved) == losses(whole)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("steps", [20, pytest.param(200, marks=pytest.mark.trial)])
def test_losses_are_those_of_whole_logits(
    precision, steps, words, every_head, monkeypatch, tmp_path, capsys
):
    words += ["--precision", precision, "--max-steps", str(steps), "--json"]
    found, after = [], []
    for name, few in (("pieces", 0), ("whole", 1 << 60)):
        monkeypatch.setattr(head_loss, "_FEW", few)
        assert main([*words, "--out", str(tmp_path / name)]) == 0
        found.append(losses(tmp_path / name))
        after.append(json.loads(capsys.readouterr().out)["after"]["nats"])
    assert len(every_head) == steps == len(found[0])
    apart = max(abs(one - other) for one, other in zip(*found, strict=True))
    print(f"{precision}, {steps} steps: losses at most {apart:.1e} apart")
    assert apart < (1e-5 if precision == "fp32" else 1e-2)
    assert after[0] == pytest.approx(after[1], rel=1e-6 if precision == "fp32" else 5e-3)


def test_gradients_are_the_same_where_layers_are_computed_again(words, every_head, tmp_path):
    ends = []
    for more in ([], ["--gradient-checkpointing"]):
        run = tmp_path / f"run{len(more)}"
        assert (
            main([*words, *more, "--precision", "bf16", "--max-steps", "3", "--out", str(run)]) == 0
        )
        ends.append((run / "model" / "model.safetensors").read_bytes())
    assert len(every_head) == 6
    assert ends[0] == ends[1]
