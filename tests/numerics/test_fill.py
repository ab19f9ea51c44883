"""Blanks are filled as transformers' fill-mask pipeline fills them, in batches of any size."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import nn

from nextfill.config import FillingConfig
from nextfill.core.errors import ModelError, NextfillError
from nextfill.filling.candidates import Candidates, Masked
from nextfill.filling.fill import Filler, fill_blanks
from nextfill.generation.prompts import name_prompts
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.row_logits import RowLogits
from nextfill.rendering.result_cards import answer_text

FAMILIES = ("roberta", "bert", "modernbert", "fnet")
TEXT = "Return the number of ___ in a list."


@pytest.fixture(scope="module")
def wordpiece(texts: list[str]) -> Any:
    """A tokenizer of 500 word pieces with BERT's special tokens, in lower case."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=specials, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(["pad", "unk", "cls", "sep", "mask"], specials, strict=True))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, **{f"{name}_token": token for name, token in names.items()}
    )


@pytest.fixture(scope="module")
def byte_level(bpe_masked: Any) -> Any:
    """The tokenizer of masked models, with a mask that takes the space before it, as RoBERTa's."""
    tokenizer = copy.deepcopy(bpe_masked)
    mask = transformers.AddedToken("<mask>", lstrip=True, normalized=False, special=True)
    tokenizer.add_special_tokens({"mask_token": mask})
    assert len(tokenizer("a <mask>", add_special_tokens=False)["input_ids"]) == 2
    return tokenizer


@pytest.fixture(scope="module")
def load(
    make_masked: Callable[..., Any], byte_level: Any, wordpiece: Any
) -> Callable[[str], LoadedModel]:
    """Return a function that makes a tiny model of a family whose answers differ."""

    def make(family: str) -> LoadedModel:
        tokenizer, pad_id = (wordpiece, 0) if family == "bert" else (byte_level, 1)
        model = make_masked(family, scale=12.0, pad_token_id=pad_id)
        return LoadedModel(model, tokenizer, family, "masked")

    return make


@pytest.fixture(scope="module")
def hundred(texts: list[str]) -> list[str]:
    """A hundred texts of 2 to 40 words with one to four blanks in each, spelt in every way."""
    rng = random.Random(0)
    words = [word for text in texts for word in text.split()][:5000]
    made = []
    for number in range(100):
        start, length = rng.randrange(4000), rng.randint(2, 40)
        text = words[start : start + length]
        for at in rng.sample(range(length), min(length, 1 + (number % 2) * rng.randint(1, 3))):
            text[at] = rng.choice(["___", "<mask>", "[MASK]", "_____"])
        made.append(" ".join(text))
    return made


def pipeline_of(loaded: LoadedModel) -> Any:
    own = loaded.tokenizer
    names = ["input_ids"] if loaded.name == "fnet" else ["input_ids", "attention_mask"]
    own.model_input_names = names
    return transformers.pipeline(
        "fill-mask", model=loaded.model, tokenizer=own, device=torch.device("cpu")
    )


def theirs(loaded: LoadedModel, texts: Sequence[str], **options: Any) -> list[Any]:
    """Return what the pipeline makes of texts, whose blanks it knows by one spelling alone."""
    mask, found = loaded.tokenizer.mask_token, []
    pipeline = pipeline_of(loaded)
    for text in texts:
        marked = text.replace("_____", mask).replace("___", mask)
        marked = marked.replace("<mask>", mask).replace("[MASK]", mask)
        found.append(pipeline(marked, **options))
    return found


def ours(loaded: LoadedModel, texts: Sequence[str], **options: Any) -> list[Any]:
    filler = Filler(loaded, FillingConfig(**options), "fp32")
    return [filled.plain for filled in filler.fill(name_prompts(texts))]


def flat(results: Sequence[Any]) -> list[dict[str, Any]]:
    found = []
    for item in results:
        found += [item] if isinstance(item, dict) else flat(item)
    return found


def same(some: Sequence[Any], others: Sequence[Any], tolerance: float = 1e-6) -> bool:
    """Say whether answers are equal but for rounding, and of one shape."""
    plain = [[shape(result) for result in side] for side in (some, others)]
    apart = [abs(a["score"] - b["score"]) for a, b in zip(flat(some), flat(others), strict=True)]
    return plain[0] == plain[1] and max(apart) <= tolerance


def shape(result: Any) -> Any:
    if isinstance(result, dict):
        return [(key, value) for key, value in result.items() if key != "score"]
    return [shape(item) for item in result]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hundred_texts_as_the_pipeline_fills_them(
    load: Callable[[str], LoadedModel], hundred: list[str], family: str
) -> None:
    loaded = load(family)
    expected = theirs(loaded, hundred)
    assert sum(isinstance(result[0], list) for result in expected) > 40
    spread = [answer["score"] for answer in flat(expected)]
    assert max(spread) > 0.1
    assert min(spread) < 0.03
    for size in (1, 7, 64):
        assert same(ours(loaded, hundred, fill_batch_size=size), expected)
    assert padding_isolation(loaded.model, "masked").heeds_padding == (family != "fnet")


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_compared_as_in_the_pipeline(
    load: Callable[[str], LoadedModel], family: str
) -> None:
    """Words in the form that they have there: with a space before them, if the blank has one."""
    loaded = load(family)
    vocabulary = loaded.tokenizer.get_vocab()
    marks = "" if family == "bert" else "Ġ"
    words = [
        w for w in sorted(vocabulary) if w.isalpha() and w.isascii() and marks + w in vocabulary
    ]
    words = [*words[::4], words[0]]
    assert len(words) > 6
    texts = {
        "Return ___ number of things.": marks,
        "Is ___ or ___ it?": marks,
        "___ list": "",
        "x___": "",
        "(___)": "",
        "a\n___": marks if family == "bert" else "",
    }
    for text, mark in texts.items():
        for top_k in (3, 500):
            expected = theirs(loaded, [text], targets=[mark + w for w in words], top_k=top_k)
            found = ours(loaded, [text], targets=words, top_k=top_k)
            assert same(found, expected), text
            blanks = text.count("___")
            assert len(flat(expected)) == blanks * min(top_k, len(words) - 1)
    forms = [
        {answer["token"] for answer in blank}
        for blank in ours(loaded, ["___, ___"], targets=words)[0]
    ]
    assert forms[0] <= {vocabulary[word] for word in words}
    assert forms[1] <= {vocabulary[marks + word] for word in words}
    by_name = [marks + word for word in words]
    assert same(ours(loaded, ["x___"], targets=by_name), theirs(loaded, ["x___"], targets=by_name))


def test_the_head_sees_the_masks_alone_in_every_family(
    make_masked: Callable[..., Any], masked_family: str
) -> None:
    model = make_masked(masked_family, scale=3.0)
    isolation = padding_isolation(model, "masked")
    logits = RowLogits(model, isolation)
    ids = torch.arange(30).reshape(2, 15) + 5
    rows = torch.tensor([0, 7, 22, 29])
    with torch.no_grad():
        expected = model(input_ids=ids).logits.flatten(0, 1)[rows]
    assert logits.gathers
    batch = (ids, torch.arange(15).expand(2, 15), torch.zeros_like(ids), rows)
    torch.testing.assert_close(logits(*batch), expected)
    seen: list[int] = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    (head,) = (module for module in linear if module.out_features == 500)
    handle = head.register_forward_hook(lambda m, i, o: seen.append(i[0].flatten(0, -2).shape[0]))
    logits(*batch)
    handle.remove()
    assert seen == [4]


# answers of several tokens


def by_hand(loaded: LoadedModel, text: str, length: int) -> tuple[float, list[int]]:
    """Fill one blank with so many tokens, the surest first, and one beam."""
    tokenizer, special = loaded.tokenizer, loaded.tokenizer.all_special_ids
    mask = tokenizer.mask_token_id
    ids = tokenizer(text.replace("___", tokenizer.mask_token * length))["input_ids"]
    places = [at for at, token in enumerate(ids) if token == mask]
    left, total = list(places), 0.0
    assert len(places) == length
    while left:
        with torch.no_grad():
            nats = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        if length > 1:
            nats[:, special] = -torch.inf
        best = max(left, key=lambda at: nats[at].max().item())
        ids[best] = int(nats[best].argmax())
        total += nats[best].max().item()
        left.remove(best)
    return total / length, [ids[at] for at in places]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_beam_fills_the_surest_mask_first(
    load: Callable[[str], LoadedModel], family: str
) -> None:
    loaded = load(family)
    orders = []
    for text in (TEXT, "If the ___ is empty", "___.", "a ___ (b) c d"):
        best = max(by_hand(loaded, text, length) for length in (1, 2, 3, 4))
        ((answer,),) = [ours(loaded, [text], top_k=1, answer_tokens=4)[0]]
        assert answer["token"] == best[1]
        assert answer["score"] == pytest.approx(torch.tensor(best[0]).exp().item(), rel=1e-5)
        assert answer["token_str"] == loaded.tokenizer.decode(best[1])
        orders.append(len(best[1]))
    assert len(set(orders)) > 1 or family != "roberta"


def test_beams_hold_every_way_where_there_are_enough(load: Callable[[str], LoadedModel]) -> None:
    """As many beams as ways: two tokens of a few, against both orders of filling written out."""
    loaded = load("roberta")
    tokenizer, special = loaded.tokenizer, loaded.tokenizer.all_special_ids
    top_k = 100
    answers = ours(loaded, [TEXT], top_k=top_k, answer_tokens=2)[0]
    ids = tokenizer(TEXT.replace("___", "<mask><mask>"))["input_ids"]
    at = ids.index(tokenizer.mask_token_id)

    def nats_of(row: list[int]) -> torch.Tensor:
        with torch.no_grad():
            nats = loaded.model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        nats[:, special] = -torch.inf
        return nats

    first = nats_of(ids)
    surest = max((at, at + 1), key=lambda place: first[place].max().item())
    other = 2 * at + 1 - surest
    ways: dict[tuple[int, ...], float] = {}
    for nats, token in zip(*(part.tolist() for part in first[surest].topk(top_k)), strict=True):
        row = list(ids)
        row[surest] = token
        values, tokens = nats_of(row)[other].topk(top_k)
        for second, last in zip(values.tolist(), tokens.tolist(), strict=True):
            row[other] = last
            ways[tuple(row[at : at + 2])] = (nats + second) / 2
    expected = sorted(ways.items(), key=lambda way: -way[1])
    found = [answer for answer in answers if len(answer["token"]) == 2]
    assert len(found) > 20
    for answer, (tokens, mean) in zip(found, expected, strict=False):
        assert answer["token"] == list(tokens)
        assert answer["score"] == pytest.approx(torch.tensor(mean).exp().item(), rel=1e-5)
    scores = [answer["score"] for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert len(answers) == top_k
    assert len({tuple(answer["token"]) for answer in answers}) == top_k


def test_answers_of_one_token_are_what_they_are_alone(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("modernbert")
    text = "If ___ or ___ is ___"
    for few, many in zip(
        ours(loaded, [text], top_k=5)[0],
        ours(loaded, [text], top_k=100, answer_tokens=2)[0],
        strict=True,
    ):
        alone = [answer for answer in many if len(answer["token"]) == 1]
        assert [[answer["token"]] for answer in few][: len(alone)] == [
            answer["token"] for answer in alone
        ][:5]
        assert all(answer["sequence"].count("<mask>") == 2 for answer in many)


def test_long_answers_have_no_special_tokens(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("roberta")
    special = set(loaded.tokenizer.all_special_ids)
    with torch.no_grad():
        loaded.model.lm_head.bias[list(special)] += 50.0  # type: ignore[union-attr, index, operator]
    tokens = [answer["token"] for answer in ours(loaded, [TEXT], top_k=3)[0]]
    assert set(tokens) <= special
    found = ours(loaded, [TEXT], top_k=40, answer_tokens=3)[0]
    assert [answer["token"] for answer in found[:3]] == [[token] for token in tokens]
    longer = [set(answer["token"]) for answer in found if len(answer["token"]) > 1]
    assert longer
    assert not any(some & special for some in longer)
    assert len(ours(loaded, [TEXT], top_k=3, answer_tokens=2)[0]) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_long_answers_do_not_depend_on_the_batch(
    load: Callable[[str], LoadedModel], hundred: list[str], family: str
) -> None:
    loaded = load(family)
    texts = hundred[:6]
    alone = [ours(loaded, [t], answer_tokens=2, top_k=3, fill_batch_size=1)[0] for t in texts]
    for size in (4, 64):
        assert same(ours(loaded, texts, answer_tokens=2, top_k=3, fill_batch_size=size), alone)


# what else holds


def test_every_blank_gets_its_best_answer_in_brackets(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("roberta")
    loaded.model.train()
    texts = [TEXT, "A\t<mask>, b [MASK]!"]
    best = [[answer_text(a[0]["token_str"]) for a in b.answers] for b in filled(loaded, texts)]
    assert fill_blanks(loaded, texts) == [
        f"Return the number of [{best[0][0]}] in a list.",
        f"A\t[{best[1][0]}], b [{best[1][1]}]!",
    ]
    assert loaded.model.training
    loaded.model.eval()
    assert fill_blanks(loaded, texts[:1])
    assert not loaded.model.training


def filled(loaded: LoadedModel, texts: Sequence[str]) -> list[Any]:
    return list(Filler(loaded, FillingConfig(), "fp32").fill(name_prompts(texts)))


def test_the_mode_is_put_back_when_nobody_reads_on(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("roberta")
    loaded.model.train()
    results = Filler(loaded, FillingConfig(), "fp32").fill(name_prompts([TEXT, TEXT]))
    next(results)
    assert not loaded.model.training
    results.close()  # type: ignore[attr-defined]
    assert loaded.model.training


def test_masks_are_counted_so_that_their_logits_fit(
    load: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load("roberta")
    texts = [" ".join(["___"] * count) for count in (30, 9, 20, 1, 12)]
    expected = theirs(loaded, texts, top_k=2)
    monkeypatch.setattr("nextfill.filling.candidates._MOST_MASKS", 25)
    sizes: list[int] = []
    loaded.model.register_forward_hook(lambda m, i, o: sizes.append(o.logits.shape[-2]))
    assert same(ours(loaded, texts, top_k=2), expected)
    assert sizes[-3:] == [30, 20, 22]


def test_special_tokens_in_a_text_are_what_they_are_to_the_pipeline(
    load: Callable[[str], LoadedModel],
) -> None:
    loaded = load("roberta")
    texts = ["a <pad> list ___ </s> of ___ <pad>", "<s>___ or</s></s> ___", "é 世界 🙂 ___\x00"]
    assert same(ours(loaded, texts), theirs(loaded, texts))


def test_weights_that_are_no_numbers_are_told(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("roberta")
    with torch.no_grad():
        for parameter in itertools.islice(loaded.model.parameters(), 1):
            parameter.fill_(torch.nan)
    with pytest.raises(ModelError, match="gives no numbers"):
        ours(loaded, [TEXT])


def test_more_answers_than_entries_are_refused(load: Callable[[str], LoadedModel]) -> None:
    loaded = load("roberta")
    assert len(ours(loaded, [TEXT], top_k=500)[0]) == 500
    with pytest.raises(NextfillError, match="--top-k 501 is above the 500 entries"):
        ours(loaded, [TEXT], top_k=501)
    assert len(ours(loaded, [TEXT], top_k=501, targets=["ther"])[0]) == 1


def test_nothing_asked_is_nothing_found(load: Callable[[str], LoadedModel]) -> None:
    candidates = Candidates(load("fnet"), "fp32", 4)
    assert candidates([], 3) == []
    ((((nats, _),),),) = candidates([Masked((0, 4, 2), (1,), (None,))], 1)
    assert nats < 0
