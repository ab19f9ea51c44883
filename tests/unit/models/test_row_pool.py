"""Texts that come and go in a pool of rows: each has the bits that it has alone."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.incremental_decoding import Feed
from nextfill.models.inference.row_pool import RowPool, SeparateRows

STEPS = 6
LENGTHS = (5, 70, 1, 64, 63, 17, 2)


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def grown(rows, texts, together):
    """Grow texts, so many at most at once, the others as places become free; return their logits.

    The next tokens are given, so that a text is the same in any company.
    """
    waiting, order = list(range(len(texts))), []
    found = {number: [] for number in waiting}
    while waiting or order:
        if waiting and len(order) < together:
            number = waiting.pop(0)
            found[number].append(rows.read(texts[number]))
            order.append(number)
        tokens = [(7 * number + len(found[number])) % 300 for number in order]
        for number, logits in zip(order, rows.add(torch.tensor(tokens)), strict=True):
            found[number].append(logits)
        for place in reversed(range(len(order))):
            if len(found[order[place]]) > STEPS:
                rows.remove(place)
                last = order.pop()
                if place < len(order):
                    order[place] = last
    return {number: torch.stack(logits) for number, logits in found.items()}


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.trial)])
def test_a_row_has_the_same_bits_in_any_company(model, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            parts = read_decoder(model, "fp32")
        generator = torch.Generator().manual_seed(0)
        texts = [torch.randint(0, 300, (n,), generator=generator).tolist() for n in LENGTHS]
        with torch.inference_mode():
            alone = grown(RowPool(parts, is_exact=True), texts, 1)
            for together in (2, 3, 7):
                found = grown(RowPool(parts, is_exact=True), texts, together)
                for number, expected in alone.items():
                    assert torch.equal(found[number], expected), (together, number)
            plain = grown(RowPool(parts), texts, 7)
    finally:
        torch.set_num_threads(before)
    for number, text in enumerate(texts):
        rest = [(7 * number + 1 + step) % 300 for step in range(STEPS)]
        with torch.no_grad():
            whole = model(input_ids=torch.tensor([[*text, *rest]])).logits[0, len(text) - 1 :]
        torch.testing.assert_close(alone[number], whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(plain[number], whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("feed", [Feed(), Feed(use_cache=False), Feed(whole=True)])
def test_separate_rows_have_the_logits_of_whole_texts(model, feed):
    texts = [[5, 6, 7], [8]]
    with torch.inference_mode():
        found = grown(SeparateRows(model, feed, "fp32"), texts, 2)
        for number, text in enumerate(texts):
            rest = [(7 * number + 1 + step) % 300 for step in range(STEPS)]
            whole = model(input_ids=torch.tensor([[*text, *rest]])).logits[0, len(text) - 1 :]
            torch.testing.assert_close(found[number], whole, atol=1e-5, rtol=0)
