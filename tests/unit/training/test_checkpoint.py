import pytest
import torch
from torch import nn

from nextfill.core.errors import RunError
from nextfill.runs.directory import RunDirectory
from nextfill.training.best_weights import best_problem, load_best, save_best
from nextfill.training.checkpoint import (
    Cursor,
    checkpoint_problem,
    load_checkpoint,
    newest_step,
    remove_older,
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


@pytest.fixture
def run(tmp_path):
    """A run of settings and a line of events."""
    run = RunDirectory(tmp_path)
    run.config.write_text("seed = 1\n")
    run.append_event({"event": "step", "step": 1})
    return run


def save(run, model, optimizer, step):
    cursor = Cursor(step, 4 * step, run.record_logs()["events.jsonl"])
    save_checkpoint(run, model, optimizer, cursor)
    return cursor


def test_model_and_optimizer_go_on_as_if_never_stopped(run):
    model, optimizer = trained(seed=1)
    cursor = save(run, model, optimizer, 2)
    other, other_optimizer = trained(seed=2, steps=0)
    assert load_checkpoint(run, other, other_optimizer, pytest.fail) == cursor
    assert other.first.weight is other.second.weight
    for each, its_optimizer in ((model, optimizer), (other, other_optimizer)):
        each.second(each.first(torch.ones(1, 3))).sum().backward()
        its_optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize(
    ("count", "branching", "kept"),
    [
        (2, None, [4, 5]),
        (1, None, [5]),
        (9, None, [1, 2, 3, 4, 5]),
        (2, 3, [3, 4, 5]),
        (1, 2, [2, 5]),
        (2, 4, [4, 5]),
        (2, 9, [4, 5]),
    ],
)
def test_the_newest_are_kept_and_the_one_that_a_run_branches_at(run, count, branching, kept):
    model, optimizer = trained(seed=1)
    for step in range(1, 6):
        save(run, model, optimizer, step)
        remove_older(run.checkpoints, count, branching)
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == [
        f"step-{step:08d}" for step in kept
    ]
    assert newest_step(run.checkpoints) == 5


def test_half_a_checkpoint_is_not_taken_for_one(run):
    model, optimizer = trained(seed=1)
    cursor = save(run, model, optimizer, 1)
    (run.checkpoints / ".step-00000002.tmp").mkdir()
    assert load_checkpoint(run, model, optimizer, pytest.fail) == cursor


DAMAGES = {
    "cut": lambda content: content[:-4],
    "emptied": lambda content: b"",
    "longer": lambda content: content + b"\0",
    **{
        f"bit {place}": lambda content, place=place: flipped(content, place)
        for place in (0.0, 0.3, 0.6, 0.9)
    },
}


def flipped(content, place):
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= 4
    return bytes(damaged)


FILES = ["checksums.json", "config.toml", "cursor.json", "model.safetensors"]
FILES += ["optimizer.safetensors", "run.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [*DAMAGES, "removed"])
def test_an_older_one_is_taken_where_the_newest_is_damaged(run, name, damage):
    model, optimizer = trained(seed=1)
    older = save(run, model, optimizer, 1)
    save(run, model, optimizer, 2)
    newest = run.checkpoints / "step-00000002"
    assert sorted(path.name for path in newest.iterdir()) == FILES
    file = newest / name
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    told = []
    assert load_checkpoint(run, model, optimizer, told.append) == older
    assert "step-00000002 is damaged" in told[0]
    assert "going on from step 1" in told[0]
    assert not newest.exists()


def test_where_none_is_whole_all_are_left_and_told_of(run):
    model, optimizer = trained(seed=1)
    for step in (1, 2):
        save(run, model, optimizer, step)
        (run.checkpoints / f"step-0000000{step}" / "cursor.json").write_text("{}")
    with pytest.raises(RunError, match=r"No checkpoint .* is whole \(step-00000001: cursor\.json"):
        load_checkpoint(run, model, optimizer, pytest.fail)
    assert newest_step(run.checkpoints) == 2


def test_a_checkpoint_agrees_with_its_name_its_events_and_its_settings(run):
    model, optimizer = trained(seed=1)
    save(run, model, optimizer, 1)
    first = run.checkpoints / "step-00000001"
    assert checkpoint_problem(run, first) is None
    renamed = first.rename(run.checkpoints / "step-00000009")
    assert checkpoint_problem(run, renamed) == "it is of step 1"
    renamed.rename(first)
    run.append_event({"event": "step", "step": 2})
    assert checkpoint_problem(run, first) is None
    events = run.events.read_bytes()
    run.events.write_bytes(events[:20])
    assert "events.jsonl has 20 bytes" in checkpoint_problem(run, first)
    run.events.write_bytes(flipped(events, 0.1))
    assert "events.jsonl holds other bytes" in checkpoint_problem(run, first)
    run.events.write_bytes(events)
    run.config.write_text("seed = 2\n")
    assert "another config.toml" in checkpoint_problem(run, first)


def test_best_weights_that_are_damaged_are_not_loaded(tmp_path):
    model, _ = trained(seed=1)
    save_best(tmp_path, model, 3)
    whole = (tmp_path / "best.safetensors").read_bytes()
    assert best_problem(tmp_path) is None
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        (tmp_path / "best.safetensors").write_bytes(damaged)
        try:
            load_best(tmp_path, trained(seed=2)[0], 3)
        except RunError:
            continue
        pytest.fail(f"byte {place} of {len(whole)}")


def test_another_model_is_refused(run):
    model, optimizer = trained(seed=1)
    save(run, model, optimizer, 1)
    other = nn.Linear(3, 3)
    with pytest.raises(RunError, match="another model"):
        load_checkpoint(run, other, torch.optim.AdamW(other.parameters()), pytest.fail)


def test_none_yet(run):
    model, optimizer = trained(seed=1)
    assert load_checkpoint(run, model, optimizer, pytest.fail) is None
    assert newest_step(run.checkpoints) == 0
