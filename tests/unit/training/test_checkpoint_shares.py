"""Checkpoints in several files: whole for any reader, and every damage found and named."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from nextfill.core.checksums import RECORD
from nextfill.core.errors import RunError
from nextfill.runs.directory import RunDirectory
from nextfill.training.checkpoint import (
    Cursor,
    begin_shares,
    checkpoint_problem,
    folder_of_shares,
    load_checkpoint,
    model_state,
    newest_step,
    optimizer_state,
    publish_shares,
    save_checkpoint,
)
from nextfill.training.checkpoint_shares import (
    MODEL,
    OPTIMIZER,
    missing_marks,
    stored_moments,
    write_index,
    write_share,
)


class Uneven(nn.Module):
    """Weights of 5 rows, of 1, and a buffer, so that some ranks have no row of some."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.wide, self.last = nn.Linear(3, 5), nn.Linear(5, 1)
        self.register_buffer("seen", torch.tensor(float(seed)))


def trained(seed, steps=2):
    model = Uneven(seed)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        model.last(model.wide(torch.ones(1, 3))).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


@pytest.fixture
def run(tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text("seed = 1\n")
    run.append_event({"event": "step", "step": 1})
    return run


def whole_state(model, optimizer):
    weights = {f"{MODEL}{name}": one for name, one in model_state(model).items()}
    moments = optimizer_state(model, optimizer).items()
    return {**weights, **{f"{OPTIMIZER}{name}": one for name, one in moments}}


def written(run, model, optimizer, step, world, ranks=None):
    """A folder in which ranks have written their rows, as `fully_shard` divides them."""
    place = Cursor(step, 4 * step, run.record_logs()["events.jsonl"])
    folder = begin_shares(run, place)
    state = whole_state(model, optimizer)
    write_index(folder, {name: one.shape for name, one in state.items()}, world)
    for rank in range(world) if ranks is None else ranks:
        share = {}
        for name, one in state.items():
            if one.dim():
                parts = one.chunk(world)
                share[name] = (parts[rank] if rank < len(parts) else one[:0]).clone()
            elif rank == 0:
                share[name] = one
        write_share(folder, rank, world, share)
    return folder, place


def save(run, model, optimizer, step, world):
    folder, place = written(run, model, optimizer, step, world)
    publish_shares(run, folder, place, world)
    return place


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
def test_any_reader_has_the_whole(run, world):
    model, optimizer = trained(seed=1)
    place = save(run, model, optimizer, 2, world)
    other, other_optimizer = trained(seed=2, steps=0)
    assert load_checkpoint(run, other, other_optimizer, pytest.fail) == place
    before, after = whole_state(model, optimizer), whole_state(other, other_optimizer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    names = {path.name for path in (run.checkpoints / "step-00000002").iterdir()}
    shares = {f"share-{rank:05d}-of-{world:05d}.safetensors" for rank in range(1, world + 1)}
    about = {"shares.json", "cursor.json", "config.toml", "run.json", "checksums.json"}
    assert names == {*shares, *about}
    assert not [*run.checkpoints.glob(".*")]


@pytest.mark.parametrize("readers", [1, 2, 3, 7])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_reader_reads_its_rows(run, world, readers):
    model, optimizer = trained(seed=1)
    place = save(run, model, optimizer, 2, world)
    other, other_optimizer = trained(seed=2, steps=0)
    load_checkpoint(run, other, other_optimizer, pytest.fail, leaves_shares=True)
    assert not other_optimizer.state
    stored = stored_moments(folder_of_shares(run, place))
    state = optimizer_state(model, optimizer)
    assert {*stored} == {*state}
    for name, one in state.items():
        assert stored.kind(name) == (tuple(one.shape), one.dtype)
        assert torch.equal(stored[name], one)
        if one.dim():
            most = -(-len(one) // readers)
            firsts = [min(rank * most, len(one)) for rank in range(readers)]
            counts = [min(most, len(one) - first) for first in firsts]
            rows = [stored.rows(name, *of) for of in zip(firsts, counts, strict=True)]
            assert torch.equal(torch.cat(rows), one)
    assert {*stored.keys_of("wide.weight")} == {"exp_avg", "exp_avg_sq", "step"}
    assert not stored.keys_of("wide")


def test_a_checkpoint_of_whole_moments_has_no_folder_of_shares(run):
    model, optimizer = trained(seed=1)
    place = Cursor(2, 8, run.record_logs()["events.jsonl"])
    save_checkpoint(run, model, optimizer, place)
    assert folder_of_shares(run, place) is None
    other, other_optimizer = trained(seed=2, steps=0)
    load_checkpoint(run, other, other_optimizer, pytest.fail, leaves_shares=True)
    assert other_optimizer.state


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


FILES = ["share-00001-of-00002.safetensors", "share-00002-of-00002.safetensors", "shares.json"]
FILES += ["cursor.json", "config.toml", "run.json", RECORD]


@pytest.mark.parametrize("damage", [cut, flip, remove])
@pytest.mark.parametrize("name", FILES)
def test_each_damage_is_found_named_and_the_one_before_is_used(run, name, damage):
    model, optimizer = trained(seed=1)
    save(run, model, optimizer, 2, 2)
    before = whole_state(model, optimizer)
    before = {name: one.clone() for name, one in before.items()}
    later, later_optimizer = trained(seed=1, steps=3)
    save(run, later, later_optimizer, 3, 2)
    newest = run.checkpoints / "step-00000003"
    damage(newest / name)
    assert name in checkpoint_problem(run, newest)
    told = []
    other, other_optimizer = trained(seed=2, steps=0)
    assert load_checkpoint(run, other, other_optimizer, told.append).step == 2
    after = whole_state(other, other_optimizer)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(told) == 1
    assert name in told[0]
    assert not newest.exists()


def test_files_of_another_save_are_refused(run):
    model, optimizer = trained(seed=1)
    save(run, model, optimizer, 2, 2)
    save(run, *trained(seed=1, steps=3), 3, 2)
    share = "checkpoints/step-0000000{}/share-00002-of-00002.safetensors"
    shutil.copyfile(run.path / share.format(2), run.path / share.format(3))
    assert "share-00002-of-00002" in checkpoint_problem(run, run.checkpoints / "step-00000003")


def test_an_index_of_other_shapes_is_refused(run):
    model, optimizer = trained(seed=1)
    folder, place = written(run, model, optimizer, 2, 2)
    shapes = {name: one.shape for name, one in whole_state(model, optimizer).items()}
    write_index(folder, {**shapes, f"{MODEL}wide.weight": (6, 3)}, 2)
    publish_shares(run, folder, place, 2)
    with pytest.raises(RunError, match=r"wide\.weight in the shape \[5, 3\].* says \[6, 3\]"):
        load_checkpoint(run, *trained(seed=2, steps=0), pytest.fail)


@pytest.mark.parametrize("ranks", [[], [0], [1]])
def test_until_all_shares_are_there_the_one_before_is_the_newest(run, ranks):
    model, optimizer = trained(seed=1)
    save_checkpoint(run, model, optimizer, Cursor(2, 8, run.record_logs()["events.jsonl"]))
    folder, _ = written(run, *trained(seed=1, steps=3), 3, 2, ranks)
    assert missing_marks(folder, 2) == [rank for rank in (0, 1) if rank not in ranks]
    assert newest_step(run.checkpoints) == 2
    run.remove_temporaries()  # as the next start does
    assert not folder.exists()
    assert load_checkpoint(run, *trained(seed=2, steps=0), pytest.fail).step == 2


def test_a_share_that_cannot_be_written_says_where(run, tmp_path):
    with pytest.raises(RunError, match=r"share-00001-of-00001\.safetensors cannot be written"):
        write_share(tmp_path / "absent", 0, 1, {"model/a": torch.ones(2)})
