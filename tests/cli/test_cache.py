"""`nextfill cache`: what a person sees, and what a script gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nextfill.cli.main import main


def command(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


@pytest.fixture
def cache(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a longer path than the name is folded into lines
    text = Path("notes.txt")
    text.write_text("\n\n".join(f"Note {n}: a line of text." for n in range(40)))
    words = ["prepare", "--data", text, "--cache-dir", tmp_path / "cache", "--quiet"]
    command(capsys, *words)
    return tmp_path / "cache"


def test_list_size_and_prune(cache, capsys):
    listing = command(capsys, "cache", "list", "--cache-dir", cache)
    assert "notes.txt" in listing
    assert "2 entries, " in listing
    told = json.loads(command(capsys, "cache", "list", "--cache-dir", cache, "--json"))
    entry, tokenizer = sorted(told["entries"], key=lambda one: one["kind"] != "tokens")
    assert (entry["kind"], tokenizer["kind"]) == ("tokens", "tokenizer")
    assert entry["documents"] == 40
    assert entry["name"].endswith("notes.txt")
    size = json.loads(command(capsys, "cache", "size", "--cache-dir", cache, "--json"))
    assert size["size_bytes"] == told["size_bytes"] == sum(size["by_kind"].values())
    assert size["by_kind"]["tokens"] == entry["size_bytes"]
    assert size["by_kind"]["tokenizer"] == tokenizer["size_bytes"] > 0
    assert "token stores" in command(capsys, "cache", "size", "--cache-dir", cache)
    said = command(capsys, "cache", "prune", "--cache-dir", cache, "--older-than", "0s")
    assert "in use, left: " in said  # by this very process
    assert "removed: " in said  # the tokenizer, which is made again when it is needed
    assert not list(cache.glob("tokenizers/*.backend"))
    pruned = json.loads(command(capsys, "cache", "prune", "--cache-dir", cache, "--json"))
    assert (pruned["removed"], pruned["dry_run"]) == ([], False)


def test_names_from_the_data_do_not_steer_the_terminal(tmp_path, capsys):
    text = tmp_path / "a\x1b[2Jb.txt"
    text.write_text("\n\n".join(f"Note {n}." for n in range(40)))
    command(capsys, "prepare", "--data", text, "--cache-dir", tmp_path / "cache", "--quiet")
    assert "\x1b" not in command(capsys, "cache", "list", "--cache-dir", tmp_path / "cache")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["prune", "--older-then", "3d"], "Did you mean '--older-than'"),
        (["prune", "--older-than", "3"], "expected an age such as 12h, 30d or 8w"),
        (["prune", "--max-size", "3 apples"], "expected a size such as 500MB or 20GB"),
        (["purge"], "There is no command 'cache purge'. Type: nextfill cache prune"),
    ],
)
def test_mistakes(words, told, tmp_path, capsys):
    assert told in command(capsys, "cache", *words, "--cache-dir", tmp_path, status=2)


def test_an_empty_cache(tmp_path, capsys):
    said = command(capsys, "cache", "list", "--cache-dir", tmp_path / "none")
    assert "0 entries, 0 B" in said
    assert not (tmp_path / "none").exists()


def test_a_damaged_store_is_made_again_with_words(cache, tmp_path, capsys, caplog):
    words = ["prepare", "--data", tmp_path / "notes.txt", "--cache-dir", cache, "--json", "--quiet"]
    first = json.loads(command(capsys, *words))
    tokens = Path(first["store"]) / "shard-00000" / "tokens.bin"
    whole = tokens.read_bytes()
    tokens.write_bytes(bytes([whole[0] ^ 1, *whole[1:]]))
    assert json.loads(command(capsys, *words)) == {**first, "reused": False}
    assert "is damaged: tokens.bin of shard 0 holds other bytes than were written" in caplog.text
    assert "it is put aside and made again" in caplog.text
    assert tokens.read_bytes() == whole


def test_a_changed_file_is_noticed_and_verifying_reads_it_again(cache, tmp_path, capsys):
    text = tmp_path / "notes.txt"
    words = ["prepare", "--data", text, "--cache-dir", cache, "--json", "--quiet"]
    first = json.loads(command(capsys, *words))
    assert first["reused"]
    assert json.loads(command(capsys, *words, "--verify"))["store"] == first["store"]
    text.write_text(text.read_text().replace("Note 3:", "Mote 3:"))
    second = json.loads(command(capsys, *words))
    assert not second["reused"]
    assert second["store"] != first["store"]
    assert second["ledger"]["bytes"] == first["ledger"]["bytes"]
