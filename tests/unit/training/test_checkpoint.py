import pytest
import torch
from torch import nn

from nextfill.errors import RunError
from nextfill.training.checkpoint import (
    KEPT,
    Cursor,
    load_checkpoint,
    newest_step,
    save_checkpoint,
)


class Tied(nn.Module):
    """Two layers that share a weight, and a buffer that is saved."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("seen", torch.tensor(float(seed)))


def trained(seed, steps=2):
    model = Tied(seed)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(steps):
        model.second(model.first(torch.ones(1, 3))).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_model_and_optimizer_go_on_as_if_never_stopped(tmp_path):
    model, optimizer = trained(seed=1)
    save_checkpoint(tmp_path, model, optimizer, Cursor(2, 8, 100))
    other, other_optimizer = trained(seed=2, steps=0)
    assert load_checkpoint(tmp_path, other, other_optimizer) == Cursor(2, 8, 100)
    assert other.first.weight is other.second.weight
    for each, its_optimizer in ((model, optimizer), (other, other_optimizer)):
        each.second(each.first(torch.ones(1, 3))).sum().backward()
        its_optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_only_the_newest_are_kept(tmp_path):
    model, optimizer = trained(seed=1)
    for step in range(1, 5):
        save_checkpoint(tmp_path, model, optimizer, Cursor(step, step, 0))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000003", "step-00000004"]
    assert KEPT == 2
    assert newest_step(tmp_path) == 4


def test_half_a_checkpoint_is_not_taken_for_one(tmp_path):
    model, optimizer = trained(seed=1)
    save_checkpoint(tmp_path, model, optimizer, Cursor(1, 1, 0))
    (tmp_path / ".step-00000002.tmp").mkdir()
    assert load_checkpoint(tmp_path, model, optimizer) == Cursor(1, 1, 0)


def test_damage_is_told(tmp_path):
    model, optimizer = trained(seed=1)
    path = save_checkpoint(tmp_path, model, optimizer, Cursor(1, 1, 0))
    weights = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(weights[:-4])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path, model, optimizer)


def test_another_model_is_refused(tmp_path):
    model, optimizer = trained(seed=1)
    save_checkpoint(tmp_path, model, optimizer, Cursor(1, 1, 0))
    other = nn.Linear(3, 3)
    with pytest.raises(RunError, match="another model"):
        load_checkpoint(tmp_path, other, torch.optim.AdamW(other.parameters()))


def test_none_yet(tmp_path):
    model, optimizer = trained(seed=1)
    assert load_checkpoint(tmp_path / "checkpoints", model, optimizer) is None
    assert newest_step(tmp_path / "checkpoints") == 0
