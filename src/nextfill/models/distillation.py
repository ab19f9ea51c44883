"""Distillation: a teacher, its fit to a student, and the distance between their predictions.

The loss of a step is (1 - w) x nats + w x T^2 x KL(teacher || student), both models' logits divided
by the temperature T, summed over the targets and divided by their number. T^2 keeps the gradient's
size, which falls with the square of the temperature. The cosine of the hidden states, DistilBERT's
third term, is left out: it needs a student of the teacher's width, and knowledge of both models'
insides.

Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network; Sanh et al. 2019,
DistilBERT, a distilled version of BERT (arXiv:1910.01108).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.config import Objective
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import nats_of
from nextfill.models.step import StepModule
from nextfill.objectives.batch import Batch


@dataclass(frozen=True)
class Teacher:
    """A model whose predictions another one learns; it computes as in an evaluation.

    Args:
        loaded: The model, with its student's tokenizer.
        module: The step module around it.
        weight: Its share of the loss.
        temperature: Divides the logits of both models.
    """

    loaded: LoadedModel
    module: StepModule
    weight: float
    temperature: float

    @torch.no_grad()
    def logits(self, *batch: Tensor, host: Batch | None = None) -> Tensor:
        """Return the logits of a batch's targets, ``[N, V] float32``, row by row.

        The batch is that of a step module: four of ``[B, T] int64``, and the same on the host.
        """
        self.module.eval()  # whatever mode an evaluation of it has left
        return cast(Tensor, self.module(*batch, target_logits, host=host))

    def losses(self, logits: Tensor, taught: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return a student's nats of each target, and its distance from the teacher, ``[N]``.

        Args:
            logits: The student's, ``[N, V] float32``.
            taught: The teacher's, ``[N, V'] float32``.
            targets: Ids, ``[N] int64``.
        """
        return nats_of(logits, targets), divergence(logits, taught, self.temperature)

    def weighted_sum(self, nats: Tensor, distances: Tensor) -> Tensor:
        """Return the sum of both losses over the targets, each loss with its share."""
        return (1 - self.weight) * nats.sum() + self.weight * distances.sum()


def target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the logits as they are, as what a step module reads off them."""
    return logits


def divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return T^2 x KL(teacher || student) of each row, ``[N]``, in nats.

    The widths of the logits may differ by rows that pad a vocabulary; the common part counts.

    Args:
        logits: The student's, ``[N, V]``.
        taught: The teacher's, ``[N, V']``.
        temperature: T, which divides both.

    Example:
        >>> logits, taught = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])
        >>> round(divergence(logits, taught, 2.0).item(), 3)
        0.399
    """
    width = min(logits.shape[1], taught.shape[1])
    student = (logits[:, :width] / temperature).log_softmax(dim=1)
    teacher = (taught[:, :width] / temperature).softmax(dim=1)
    return functional.kl_div(student, teacher, reduction="none").sum(dim=1) * temperature**2


def vocabulary_problem(tokenizer: Any, of_teacher: Any, objective: Objective) -> str | None:
    """Return the first difference of a teacher's vocabulary from a student's, None if none."""
    own, other = (
        {number: token for token, number in one.get_vocab().items()}
        for one in (tokenizer, of_teacher)
    )
    for number in sorted(own.keys() | other.keys()):
        if own.get(number) != other.get(number):
            return f"token {number} is {_named(other, number)} there and {_named(own, number)} here"
    masks = tokenizer.mask_token, of_teacher.mask_token
    if objective == "masked" and masks[0] != masks[1]:
        return f"the mask token is {masks[1]!r} there and {masks[0]!r} here"
    return None


def _named(tokens: dict[int, str], number: int) -> str:
    return repr(tokens[number]) if number in tokens else "none"
