"""Types of model that transformers has no more are refused with what still trains them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from nextfill.cli.main import main
from nextfill.models.libraries import GONE
from tests.architecture_paths import GONE as NAMED
from tests.architectures import save_words


def test_the_types_are_gone() -> None:
    assert set(GONE) == set(NAMED)
    assert not set(GONE) & set(CONFIG_MAPPING.keys())


@pytest.mark.parametrize("kind", GONE)
def test_a_folder_of_one_ends_in_words(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    save_words(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    text = tmp_path / "text.txt"
    text.write_text("w05 w06 w07\n" * 20)
    for words in (["evaluate", str(folder), "--data", str(text)], ["generate", str(folder), "w05"]):
        assert main(words) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"{folder} cannot be used: transformers 5 has no {kind} any more" in told
        assert "make legacy" in told
        assert "Traceback" not in told


def test_new_weights_of_one_end_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, text = tmp_path / "words", tmp_path / "text.txt"
    save_words(words)
    text.write_text("w05 w06 w07\n" * 20)
    job = ["--tokenizer", str(words), "--data", str(text), "--out", str(tmp_path / "run")]
    assert main(["train", "--model", "scratch:transfo-xl", *job]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "scratch:transfo-xl: transformers 5 has no transfo-xl any more" in told
