"""The distance between two models' predictions, and the fit of two vocabularies."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoTokenizer

from nextfill.models.distillation import divergence, vocabulary_problem


def by_hand(student, teacher, temperature):
    """Return T^2 x KL(teacher || student) of one row, in plain Python."""
    p, q = ([math.exp(z / temperature) for z in row] for row in (teacher, student))
    p, q = ([one / sum(row) for one in row] for row in (p, q))
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_it_is_the_divergence_by_hand(temperature):
    student, teacher = [[0.3, -1.2, 2.0], [4.0, 0.0, 0.1]], [[1.0, 0.2, 0.3], [-2.0, 3.0, 0.0]]
    found = divergence(torch.tensor(student), torch.tensor(teacher), temperature)
    expected = [by_hand(*rows, temperature) for rows in zip(student, teacher, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_it_is_the_teachers_predictions_that_are_hit():
    """The other way round it would be another number."""
    one, other = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert divergence(one, other, 1.0).item() != pytest.approx(divergence(other, one, 1.0).item())


@pytest.mark.parametrize(("of_student", "of_teacher"), [(5, 3), (3, 5)])
def test_rows_that_pad_a_vocabulary_do_not_count(of_student, of_teacher):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, of_student), torch.randn(2, of_teacher)
    common = divergence(student[:, :3], teacher[:, :3], 2.0)
    assert torch.equal(divergence(student, teacher, 2.0), common)


def test_a_token_that_a_teacher_never_predicts_has_no_part_in_it():
    teacher = torch.tensor([[0.0, 1.0, -math.inf]])
    assert divergence(torch.tensor([[0.0, 1.0, -50.0]]), teacher, 1.0).item() == pytest.approx(0)


def test_the_gradient_keeps_its_size_at_any_temperature():
    """Hinton et al. 2015, section 2.1: at high temperatures it is that of the logits' distance."""
    torch.manual_seed(0)
    start, teacher = torch.randn(1, 8), torch.randn(1, 8)
    sizes = []
    for temperature in (50.0, 100.0):
        student = start.clone().requires_grad_()
        divergence(student, teacher, temperature).sum().backward()
        sizes.append(student.grad)
    distance = (start - start.mean()) - (teacher - teacher.mean())
    assert torch.allclose(sizes[0], sizes[1], rtol=0.05, atol=1e-3)
    assert torch.allclose(sizes[1], distance / 8, rtol=0.05, atol=5e-3)


def test_the_first_difference_of_two_vocabularies(tiny_tokenizer, masked_tokenizer):
    one, same, other = (
        AutoTokenizer.from_pretrained(folder)
        for folder in (tiny_tokenizer, tiny_tokenizer, masked_tokenizer)
    )
    assert vocabulary_problem(one, same, "causal") is None
    first = repr(other.convert_ids_to_tokens(0))
    found = vocabulary_problem(one, other, "causal")
    assert found == f"token 0 is {first} there and '<|endoftext|>' here"
    size = len(same)
    same.add_tokens(["<new>"])
    assert vocabulary_problem(one, same, "causal") == f"token {size} is '<new>' there and none here"
    assert vocabulary_problem(same, one, "causal") == f"token {size} is none there and '<new>' here"


def test_the_mask_token_matters_to_masked_models_alone(masked_tokenizer):
    one, other = (AutoTokenizer.from_pretrained(masked_tokenizer) for _ in range(2))
    mask, other.mask_token = one.mask_token, other.eos_token
    assert vocabulary_problem(one, other, "causal") is None
    found = vocabulary_problem(one, other, "masked")
    assert found == f"the mask token is {one.eos_token!r} there and {mask!r} here"
