"""Which files are sent, and when they are the same as those on the Hub."""

from types import SimpleNamespace

import pytest

from nextfill.hub.upload import changed_files, is_sent, local_file, stale_files


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("model.safetensors", True),
        ("model-00001-of-00002.safetensors", True),
        ("model.safetensors.index.json", True),
        ("tokenizer.json", True),
        ("README.md", True),
        ("spiece.model", True),
        ("notes.json", False),
        ("train.txt", False),
        (".env", False),
        ("pytorch_model.bin", False),
        ("optimizer.pt", False),
    ],
)
def test_what_leaves_a_folder(name, sent):
    assert is_sent(name) is sent


def test_files_are_compared_by_what_the_hub_calls_them(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 9_000_000)
    large = local_file("model.safetensors", tmp_path / "large")
    small = local_file("config.json", b"{}\n")
    assert small.git_sha1 == "0967ef424bce6791893e9a57bb952f80fd536e93"  # git hash-object
    same = {
        "model.safetensors": SimpleNamespace(
            blob_id="of the pointer", lfs=SimpleNamespace(sha256=large.sha256)
        ),
        "config.json": SimpleNamespace(blob_id=small.git_sha1, lfs=None),
    }
    files = [large, small]
    assert changed_files(files, same) == []
    assert changed_files(files, {}) == files
    other = {**same, "config.json": SimpleNamespace(blob_id="0" * 40, lfs=None)}
    assert changed_files(files, other) == [small]


def test_an_older_push_is_cleared_away_and_nothing_else():
    there = dict.fromkeys(
        ["adapter_config.json", "model-00001-of-00002.safetensors", "logo.png", "model.gguf"]
    )
    whole = [local_file("model.safetensors", b""), local_file("config.json", b"")]
    expected = ["adapter_config.json", "model-00001-of-00002.safetensors"]
    assert stale_files(whole, there) == expected
