from __future__ import annotations

from pathlib import Path

import pytest

from nextfill.config.evaluation_resolution import evaluate_config
from nextfill.config.options import Assignment
from nextfill.config.resolve import train_config
from nextfill.config.resumption import resumed_config
from nextfill.core.errors import ConfigError
from nextfill.core.paths import user_path


def test_paths_there_or_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    for name in ("~/file", "~/none", "~/file/in-a-file"):
        assert user_path(name, "--data") == tmp_path / name[2:]
    assert user_path("", "--data") == Path()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("~nobody-of-that-name/a.txt", "home"), ("x" * 300, "too long"), ("a\0b", "null byte")],
)
def test_what_can_be_no_path_names_its_flag(name, reason):
    with pytest.raises(ConfigError) as caught:
        user_path(name, "--data")
    assert str(caught.value).startswith("--data ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/a", "x" * 300])
def test_every_setting_that_may_be_a_path_is_checked(name):
    from nextfill.models.folder.location import model_folder

    settings = {
        "--model": ("model", "name"),
        "--tokenizer": ("model", "tokenizer"),
        "--data": ("data", "source"),
        "--eval-data": ("data", "eval_source"),
    }
    for flag, path in settings.items():
        with pytest.raises(ConfigError, match=f"{flag} .* cannot be used as a path"):
            train_config(None, [Assignment(path, name, flag)])
    with pytest.raises(ConfigError, match=r"--out .* cannot be used as a path"):
        resumed_config(None, [Assignment(("out",), name, "--out")], [])
    with pytest.raises(ConfigError, match=r"--model .* cannot be used as a path"):
        evaluate_config([Assignment(("model", "name"), name, "--model")])
    with pytest.raises(ConfigError, match=r"--tokenizer .* cannot be used as a path"):
        model_folder(name, None, kind="tokenizer")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/run",
        "S3://bucket/run",
        "s3:/bucket/run",
        "gs:bucket",
        "https//x.org/run",
        "https:x",
        "zip://a::http://x.org/b",
        "file:///tmp/run",
    ],
)
def test_an_address_is_no_path(text):
    with pytest.raises(ConfigError, match=r"--out '.*' is an address\. Expected a path"):
        user_path(text, "--out")
    assert user_path(f"./{text}", "--out") == Path(text)


@pytest.mark.parametrize(
    "text",
    ["s3://KEY:PLANTED@bucket/x", "./s3:/KEY:PLANTED@b", "runs?token=PLANTED", "u//me:PLANTED@h"],
)
def test_a_path_with_a_secret_is_refused_without_it(text):
    with pytest.raises(ConfigError, match="with a secret") as caught:
        user_path(text, "NEXTFILL_CACHE")
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["C:/runs/a", "builtin:base-causal", "10:30@home.txt", "a:b", "https"]
)
def test_what_only_looks_like_an_address(text):
    assert str(user_path(text, "--out")) == text


def test_a_secret_that_is_cut_off_is_not_shown():
    long = "s3://" + "k" * 70 + ":PLANTED@bucket/x"
    with pytest.raises(ConfigError) as caught:
        user_path(long, "--out")
    assert "PLANT" not in str(caught.value)
