"""The card: what it says, that the Hub can read it, and that no text gets out of its place."""

from __future__ import annotations

import json
import re
import tomllib
from html.parser import HTMLParser

import pytest
import tomli_w
from huggingface_hub import ModelCard, constants
from markdown_it import MarkdownIt

from nextfill.core import atomic_write
from nextfill.core.errors import ConfigError, RunError
from nextfill.hub.card_metadata import check_license
from nextfill.hub.model_card import make_card, plain_card, write_card
from nextfill.hub.share import _add_license, fill_in_card
from nextfill.runs.reader import read_run
from tests.hub.server import Hub

HOSTILE = [
    "</code></pre><script>alert(1)</script>",
    "```\n# heading\n```",
    "`````` <b>bold</b>",
    "---\nlicense: mit\n---\n",
    "{a: [1, 2]}: &anchor *alias !!python/object:os.system",
    '"quoted": yes',
    "| a | b |\n|---|---|",
    "emoji \U0001f600 and \u202e reversed and \x1b[2J",
    '[link](javascript:alert(1)) <img src="x" onerror="alert(1)">',
    "% @ ` - ? : , # tab\tend",
    "null",
    "nextfill generate USER/NAME",
]


@pytest.fixture(scope="module")
def hub():
    with Hub() as hub:
        yield hub


def card_of(run, *, is_adapter=False):
    return make_card(read_run(run), is_adapter=is_adapter)


def configure(run, **sections):
    config = tomllib.loads((run / "config.toml").read_text())
    for name, values in sections.items():
        config[name] = config.get(name, {}) | values if isinstance(values, dict) else values
    (run / "config.toml").write_text(tomli_w.dumps(config))


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.names, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)

    def handle_data(self, data):
        self.text += data


def shown(card):
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    return Elements(MarkdownIt("commonmark").enable("table").render(body))


def test_the_figures_are_those_of_the_run(make_run, tmp_path):
    run = make_run(tmp_path / "run", sets=("", "general"))
    facts = read_run(run)
    card = ModelCard(card_of(run))
    held_out = facts.sets[0].measures
    rounded = f"{held_out[0].before.value:,.3f} to {held_out[0].after.value:,.3f}"
    assert f"went from {rounded}." in card.text
    lead = (
        "It predicts such text better, though not by its first guesses: of 100 next tokens it has"
    )
    assert f"{lead} 33 right, as before. Its perplexity" in card.text
    results = {(r.dataset_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert results["notes.txt (held-out)", "perplexity"] == held_out[0].after.value
    bits = next(m for m in held_out if m.key == "bits_per_byte")
    assert results["notes.txt (held-out)", "bits_per_byte"] == bits.after.value
    assert len(results) == 4
    assert "| dropped: also held out | 250 |" in card.text
    assert "| evaluation sets: general: tokens | 6,605 |" in card.text


def test_what_the_hub_reads(make_run, tmp_path):
    run, sha = make_run(tmp_path / "run"), 40 * "a"
    configure(run, model={"name": "me/base"}, data={"source": f"me/rows@{sha}:en"})
    data = ModelCard(card_of(run)).data
    assert (data.base_model, data["base_model_relation"]) == ("me/base", "finetune")
    assert (data.datasets, data.language, data.license) == (["me/rows"], None, None)
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    assert data.tags == ["nextfill"]
    assert data.metrics == ["perplexity"]
    one = data.eval_results[0]
    assert (one.dataset_type, one.dataset_revision) == ("me/rows", sha)
    alone = ModelCard(card_of(run, is_adapter=True)).data
    assert (alone.library_name, alone["base_model_relation"]) == ("peft", "adapter")
    configure(run, model={"name": "builtin:base-causal"}, data={"source": "builtin:torch-docs"})
    bundled = ModelCard(card_of(run)).data
    assert (bundled.base_model, bundled.datasets, bundled.language) == (None, None, "en")


def test_no_path_and_no_secret_of_this_machine(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    places = {
        "model": {"name": f"{tmp_path}/base", "tokenizer": f"{tmp_path}/tokens"},
        "data": {"source": f"{tmp_path}/a b.jsonl", "eval_source": "s3://key:secret@host/x?sig=1"},
        "evaluation": {"general": {"source": f"{tmp_path}/more.txt"}},
        "share": {"repo": "me/x", "private": True},
        "cache_dir": f"{tmp_path}/cache",
    }
    configure(run, **places)
    card = card_of(run)
    for hidden in (str(tmp_path), "secret", "sig=1", "[share]", "cache_dir"):
        assert hidden not in card
    recipe = tomllib.loads(re.search(r"```toml\n(.*?)```", card, re.DOTALL)[1])
    assert recipe["model"] == {"name": "base", "tokenizer": "tokens"}
    assert recipe["data"]["source"] == "a b.jsonl"
    assert recipe["data"]["eval_source"] == "s3://host/x"
    assert ModelCard(card).data.base_model is None


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(make_run, tmp_path, hub, monkeypatch, text):
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    name = re.sub("[\x1b\u202e]", "", text).replace("/", "_").replace("\n", " ")
    run = make_run(tmp_path / name, text=text)
    configure(run, model={"name": text}, data={"source": text, "split": text})
    plain = card_of(make_run(tmp_path / "plain"))
    card = card_of(run)
    page, harmless = shown(card), shown(plain)
    assert page.names <= harmless.names | {"a"}
    samples = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    sample = [one["text"] for one in samples if one["event"] == "sample"][-1]
    assert re.sub("[\x1b\u202e]", "", sample).strip("\n") in page.text
    parsed = ModelCard(card)
    parsed.validate()  # by the Hub's own call
    assert parsed.data.license is None
    assert parsed.data.model_name == " ".join(name.split())
    assert len(parsed.data.eval_results) == 2


def test_the_servers_validation_can_fail(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    with pytest.raises(ValueError, match="license"):
        ModelCard("---\nlicense: [1]\n---\n").validate()


def test_a_card_without_evaluations_or_files(make_run, tmp_path):
    run = make_run(tmp_path / "run", steps=0)
    for name in ("ledger.json", "measured.json"):
        (run / name).unlink()
    card = card_of(run)
    assert "It was not evaluated." in card
    assert ModelCard(card).data.eval_results is None
    assert ModelCard(plain_card()).data.tags == ["nextfill"]


def test_name_and_licence_are_filled_in_and_nothing_else(make_run, tmp_path):
    run = make_run(tmp_path / "run", text="nextfill generate USER/NAME")
    path = write_card(run)
    card = path.read_text("utf-8")
    filled = fill_in_card(card, "me/x", None)
    assert filled.count("me/x") == 2
    assert 'model="me/x")' in filled
    assert card.replace("USER/NAME", "me/x").count("me/x") > 2  # the sample keeps its text
    licensed = fill_in_card(card, "me/x", "apache-2.0")
    assert ModelCard(licensed).data.license == "apache-2.0"
    assert ModelCard(licensed).text == ModelCard(filled).text
    assert fill_in_card(licensed, "me/x", None) == licensed
    with pytest.raises(RunError, match=r"the top of README\.md"):
        fill_in_card("---\na: [\n---\ntext", "me/x", None)
    with pytest.raises(ConfigError, match="--license 'No!'"):
        check_license("No!")


def test_a_licence_is_added_to_the_card_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(path):
        raise OSError("no space left")

    card = tmp_path / "README.md"
    card.write_text(plain_card(), "utf-8")
    monkeypatch.setattr(atomic_write, "sync", full)
    with pytest.raises(OSError, match="no space left"):
        _add_license(card, "mit")
    assert card.read_text("utf-8") == plain_card()
    assert list(tmp_path.iterdir()) == [card]


def set_ledger(run, **values):
    ledger = json.loads((run / "ledger.json").read_text())
    (run / "ledger.json").write_text(json.dumps(ledger | values))


def test_the_card_says_that_ends_of_documents_were_held_out(make_run, tmp_path):
    run = make_run(tmp_path / "run", documents=4, validation=True)
    set_ledger(run, held_out_ends=4, held_out_documents=4)
    card = card_of(run)
    title = "**held-out**: the ends of 4 documents, whose beginnings were trained on."
    assert title in card
    where = "the ends of 4 documents, cut off at a paragraph; what stands before is trained on"
    assert f"- held out: {where}" in card
    assert "Its perplexity on the held-out ends of documents went" in card
    assert "chosen at random" not in card


def test_the_card_says_that_whole_files_were_held_out(make_run, tmp_path):
    run = make_run(tmp_path / "run", documents=1)
    set_ledger(run, files=14, documents=14, held_out_documents=1)
    card = card_of(run)
    assert "**held-out**: 1 document, which was not trained on." in card
    where = "1 of 14 files, chosen at random; files with the same text stay on one side"
    assert f"- held out: {where}" in card
    assert "**held-out**: 2 documents, none of which was trained on." in card_of(
        make_run(tmp_path / "two", documents=2)
    )
