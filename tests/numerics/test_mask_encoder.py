"""Masked models computed by hand at their masks give the answers that they give in transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from nextfill.filling.candidates import Candidates, Masked
from nextfill.models.inference import mask_encoder
from nextfill.models.inference.encoder_layouts import read_encoder
from nextfill.models.inference.mask_encoder import mask_logits

SIZES: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 40,
}  # fmt: skip
SMALL = {"vocab_size": 90, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
MODELS: dict[str, Any] = {
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**SIZES, hidden_act="relu")),
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZES)),
    "gelu_new": lambda: BertForMaskedLM(BertConfig(**SIZES, hidden_act="gelu_new")),
    "one layer": lambda: BertForMaskedLM(BertConfig(**(SIZES | {"num_hidden_layers": 1}))),
    "untied": lambda: RobertaForMaskedLM(RobertaConfig(**SIZES, tie_word_embeddings=False)),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(**SMALL, max_position_embeddings=40)
    ),
}


def made(name: str) -> Any:
    torch.manual_seed(3)
    model = MODELS[name]().eval()
    for parameter in model.parameters():  # biases and norms of their own, answers that differ
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module", params=MODELS)
def model(request: Any) -> Any:
    return made(request.param)


def texts(count: int = 23) -> list[Masked]:
    """Texts of 1 to 37 tokens with 1 to 4 masks, in no order."""
    generator = torch.Generator().manual_seed(0)

    def below(most: int) -> int:
        return int(torch.randint(most, (1,), generator=generator))

    found = []
    for _ in range(count):
        length = 1 + below(37)
        ids = tuple(2 + below(88) for _ in range(length))
        places = tuple(sorted({below(length) for _ in range(1 + below(4))}))
        found.append(Masked(ids, places, (None,) * len(places)))
    return found


def expected(model: Any, some: list[Masked]) -> torch.Tensor:
    with torch.no_grad():
        each = [model(input_ids=torch.tensor([one.ids])).logits[0] for one in some]
    return torch.cat([one[list(text.places)] for one, text in zip(each, some, strict=True)])


def found(model: Any, some: list[Masked], kind: Any = "fp32") -> torch.Tensor:
    parts = read_encoder(model, kind)
    assert parts is not None
    with torch.no_grad():
        return mask_logits(parts, [one.ids for one in some], [one.places for one in some])


def test_logits_at_masks_are_the_models_own(model: Any) -> None:
    some = texts()
    torch.testing.assert_close(found(model, some), expected(model, some), atol=2e-5, rtol=2e-5)


def test_a_text_depends_on_no_other_of_its_batch(model: Any) -> None:
    some = texts()
    alone = torch.cat([found(model, [one]) for one in some])
    torch.testing.assert_close(found(model, some), alone, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_near(model: Any) -> None:
    some = texts()
    true, near = expected(model, some), found(model, some, "bf16")
    assert 0 < (near - true).abs().max() < 0.05 * true.abs().max()


def test_answers_are_in_the_order_of_texts_and_places() -> None:
    model = made("roberta")
    loaded: Any = SimpleNamespace(model=model, device=torch.device("cpu"), pad_id=1, name="tiny")
    some = texts()
    plain = Candidates(loaded, "fp32", 4)(some, 5)
    ours = Candidates(loaded, "fp32", 4, read_encoder(model, "fp32"))(some, 5)
    for one, other in zip(plain, ours, strict=True):
        for mask, same in zip(one, other, strict=True):
            assert [token for _, token in mask] == [token for _, token in same]
            assert [nats for nats, _ in mask] == pytest.approx([nats for nats, _ in same], abs=1e-4)


def test_the_last_layer_asks_at_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("bert")
    parts = read_encoder(model, "fp32")
    assert parts is not None
    asked: list[int] = []

    def counted(queries: torch.Tensor, *rest: Any) -> torch.Tensor:
        asked.append(len(queries))
        return attention(queries, *rest)

    attention = mask_encoder._attention
    monkeypatch.setattr(mask_encoder, "_attention", counted)
    with torch.no_grad():
        mask_logits(parts, [(5, 6, 7, 8), (9, 10)], [(1, 3), (0,)])
    assert asked == [6, 3]  # no padding, and three masks


class Doubled(nn.Module):
    """A part with another result than its place in the layout promises."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Any, **named: Any) -> Any:
        return 2 * self.inner(*given, **named)


def test_a_model_that_computes_something_else_is_left_to_transformers() -> None:
    model = made("bert")
    model.cls.predictions.transform.LayerNorm = Doubled(model.cls.predictions.transform.LayerNorm)
    assert read_encoder(model, "fp32") is None
    model = made("bert")
    model.bert.encoder.layer[1].register_forward_hook(lambda module, given, output: output * 1.01)
    assert read_encoder(model, "fp32") is None
    model = made("roberta")
    model.lm_head.decoder.register_forward_hook(lambda module, given, output: 30 * output.tanh())
    assert read_encoder(model, "fp32") is None
    assert read_encoder(made("bert").double(), "fp32") is None
    assert read_encoder(made("bert").bfloat16(), "bf16") is None


def test_a_decoder_of_the_type_is_not_read() -> None:
    config = BertConfig(**SIZES, is_decoder=True)
    assert read_encoder(BertForMaskedLM(config).eval(), "fp32") is None


def test_a_class_of_another_name_is_not_read() -> None:
    class Own(BertForMaskedLM):  # type: ignore[misc]
        pass

    assert read_encoder(Own(BertConfig(**SIZES)).eval(), "fp32") is None


def test_weights_that_are_no_numbers_are_left_to_the_plain_way() -> None:
    model = made("bert")
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = torch.nan
    assert read_encoder(model, "fp32") is None


def test_gelu_is_the_heads_own() -> None:
    model = made("roberta")
    hidden = torch.randn(3, 32)
    with torch.no_grad():
        head = model.lm_head
        by_hand = head.decoder(head.layer_norm(functional.gelu(head.dense(hidden))))
        torch.testing.assert_close(head(hidden), by_hand)
