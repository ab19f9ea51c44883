"""Steps of a model whose weights, gradients and moments lie in shares over the ranks (FSDP2).

The steps are taken by a copy of the run's step module that PyTorch's ``fully_shard`` has divided,
layer by layer. The run's own model stays whole, and is empty between evaluations: before anything
is scored or sampled every rank fills it with the weights of all shares, so that all else is as with
one process. A checkpoint is written share by share (`share_writer`). Only where not all ranks see
the run's folder is it of the whole model, as by one process, and the first rank fills its optimizer
as well. Gathered are float32 weights, which each operation rounds as in one process.

Source: Zhao et al. 2023, PyTorch FSDP (arXiv:2304.11277).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from nextfill.models.allocator import return_large_tensors
from nextfill.models.step import StepModule
from nextfill.training.checkpoint_shares import (
    MODEL,
    OPTIMIZER,
    StoredTensors,
    stored_moments,
)
from nextfill.training.distributed.ranks import ManyRanks, together
from nextfill.training.optimizer import make_optimizer
from nextfill.training.setup import Setup


class ShardedRanks(ManyRanks):
    """Several processes that hold a share of the model each, while they take a step."""

    def takes_of(self, numbers: list[int]) -> list[tuple[int, bool]]:
        """Return this rank's micro-batches, as many as any other's, and whether each counts.

        A pass gathers weights of all ranks, so that one without a micro-batch of its own repeats
        another, for nothing.
        """
        own = [(number, True) for number in numbers if self.takes(number)]
        most = max(
            (sum(number % self.world == rank for number in numbers) for rank in range(self.world)),
            default=0,
        )
        again = [(number, False) for number in numbers[:1]]
        return [*own, *again * (most - len(own))]

    def before_pass(self, module: nn.Module, *, is_last: bool) -> None:
        """Have gradients summed after the last pass of a step alone."""
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(is_last)

    def sum_gradients(self, model: nn.Module) -> None:
        """Do nothing: the last pass has summed them."""

    def whole_norm(self, norm: Tensor) -> Tensor:
        """Return the norm over all shares."""
        return whole(norm)


class ShardedTraining:
    """A divided copy of a run's step module, and its optimizer.

    Args:
        setup: The run, with its whole model.
        optimizer: That of the whole model, which has the moments of the first rank's checkpoint
            unless they are left unread.
        sees_folder: Whether all ranks see the folder of the run.
        shares: The first rank's checkpoint in shares, whose moments are not read yet.
    """

    def __init__(
        self,
        setup: Setup,
        optimizer: torch.optim.Optimizer,
        *,
        sees_folder: bool,
        shares: Path | None = None,
    ) -> None:
        self._whole, self._of_whole = setup, optimizer
        ranks = setup.ranks
        if setup.loaded.device.type == "cpu":
            return_large_tensors()
        mesh = init_device_mesh(setup.loaded.device.type, (ranks.world,))
        module = _moved(setup.module)
        with together():
            _divide(module, mesh)
        self._model = module.model
        self.setup = replace(
            setup,
            module=module,
            loaded=replace(setup.loaded, model=module.model),
            ranks=ShardedRanks(ranks.rank, ranks.world),
        )
        self.optimizer = make_optimizer(module.model, setup.config.training)
        self._take_moments(mesh, shares, sees_folder=sees_folder)
        self._is_empty = True

    def _pairs(self) -> Iterator[tuple[str, nn.Parameter, nn.Parameter]]:
        """Yield the trained parameters by name, the divided and the whole ones."""
        wholes = dict(self._whole.module.model.named_parameters())
        for name, one in self._model.named_parameters():
            if one.requires_grad:
                yield name, one, wholes[name]

    def _take_moments(self, mesh: DeviceMesh, shares: Path | None, *, sees_folder: bool) -> None:
        """Take this rank's rows of the moments that the first rank's checkpoint has.

        Each reads them itself where it sees the files; else the first one divides them, one by one.
        """
        ranks, state = self._whole.ranks, self._of_whole.state
        stored = None if shares is None else stored_moments(shares)
        folder = ranks.share(None if shares is None else str(shares.resolve()))
        if folder is not None and sees_folder:
            stored = stored_moments(Path(folder))
            for name, divided, _ in self._pairs():
                for key in stored.keys_of(name):
                    found = rows_stored(stored, f"{name}/{key}", divided, mesh)
                    self.optimizer.state[divided][key] = found
            return
        kinds = {
            name: {key: (one.shape, one.dtype) for key, one in state.get(p, {}).items()}
            if stored is None
            else {key: stored.kind(f"{name}/{key}") for key in stored.keys_of(name)}
            for name, _, p in self._pairs()
        }
        kinds = ranks.share(kinds)
        for name, divided, p in self._pairs():
            for key, (shape, kind) in kinds[name].items():
                if ranks.is_first:
                    found = state[p][key] if stored is None else stored[f"{name}/{key}"]
                else:
                    found = torch.empty(shape, dtype=kind)
                if tuple(shape) == tuple(divided.shape) and isinstance(divided, DTensor):
                    with together():
                        found = distribute_tensor(found, mesh, divided.placements)
                else:
                    ranks.share_tensors([found])
                self.optimizer.state[divided][key] = found
        state.clear()

    def before_step(self) -> None:
        """Give up the whole weights and moments, which are saved and no longer these."""
        self._of_whole.state.clear()
        if not self._is_empty:
            for p in self._whole.module.model.parameters():
                p.data = p.data.new_empty(0)
        self._is_empty = True

    def bring_up_to_date(self, *, moments: bool) -> None:
        """Fill the whole model on every rank, and with the moments the optimizer of the first."""
        is_first = self._whole.ranks.is_first
        self._is_empty = False
        model = self._whole.module.model
        wholes, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        with torch.no_grad(), together():
            for name, one in self._model.named_parameters():
                wholes[name].data = whole(one.detach())
            for name, buffer in self._model.named_buffers():
                buffers[name].copy_(buffer)
            if not moments:
                return
            for _, divided, p in self._pairs():
                for key, one in self.optimizer.state.get(divided, {}).items():
                    full = whole(one)
                    if is_first:
                        self._of_whole.state[p][key] = full

    @property
    def is_up_to_date(self) -> bool:
        """Whether the whole model has the weights of the last step."""
        return not self._is_empty

    def own_share(self) -> dict[str, Tensor]:
        """Return a copy of this rank's share of all that a checkpoint has, in memory of the host.

        What is not divided is the first rank's.
        """
        is_first = self._whole.ranks.is_first
        return {
            name: rows_of(one).to("cpu", copy=True).contiguous()
            for name, one in self._saved()
            if is_divided(one) or is_first
        }

    def whole_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the whole shape of all that a checkpoint has."""
        return {name: tuple(one.shape) for name, one in self._saved()}

    def _saved(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the trained weights, the buffers that are no caches, and the moments, by name."""
        persistent = self._whole.module.model.state_dict().keys()
        for name, one, _ in self._pairs():
            yield f"{MODEL}{name}", one.detach()
            for key, value in self.optimizer.state.get(one, {}).items():
                if isinstance(value, Tensor):
                    yield f"{OPTIMIZER}{name}/{key}", value
        for name, buffer in self._model.named_buffers():
            if name in persistent:
                yield f"{MODEL}{name}", buffer


def is_divided(tensor: Tensor) -> bool:
    """Tell whether each rank has rows of a tensor of its own."""
    return isinstance(tensor, DTensor) and any(one.is_shard() for one in tensor.placements)


def rows_of(tensor: Tensor) -> Tensor:
    """Return what this rank has of a tensor: its rows, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def rows_stored(stored: StoredTensors, name: str, divided: Tensor, mesh: DeviceMesh) -> Tensor:
    """Read what this rank has of a moment from a checkpoint, divided as its parameter is."""
    shape, _ = stored.kind(name)
    if not (isinstance(divided, DTensor) and shape == tuple(divided.shape)):
        return stored[name]
    most = -(-shape[0] // mesh.size())  # rows of a rank, the last ones having fewer or none
    first = min(mesh.get_local_rank() * most, shape[0])
    rows = stored.rows(name, first, divided.to_local().shape[0]).to(divided.device)
    return DTensor.from_local(
        *(rows, mesh, divided.placements),
        run_check=False,
        shape=divided.shape,
        stride=divided.stride(),
    )


def whole(tensor: Tensor) -> Tensor:
    """Return all shares of a tensor as one, on every rank."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _moved(module: StepModule) -> StepModule:
    """Return a copy of a step module that has its weights, of which nothing is there twice."""
    weights = [one.data for one in module.parameters()]
    for one in module.parameters():
        one.data = one.data.new_empty(0)
    copied = copy.deepcopy(module)
    for one, weight in zip(copied.parameters(), weights, strict=True):
        one.data = weight
    return copied


def _divide(module: nn.Module, mesh: DeviceMesh) -> None:
    """Divide a step module over the ranks, layer by layer, and what is outside of layers as one."""
    for layer in _layers(module):
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    for one in module.modules():
        if isinstance(one, FSDPModule):  # a sum, of gradients that are divided already
            one.set_gradient_divide_factor(1.0)
            one.set_force_sum_reduction_for_comms(True)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model: the members of its outermost lists that have weights."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (one for one in child if any(True for _ in one.parameters()))
        else:
            yield from _layers(child)
