"""What is hidden of an address, however it is written, and what is left as it is."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from nextfill.core.url_redaction import (
    HIDDEN,
    has_secret,
    redacted,
    scrub,
    scrub_of_library,
    without_secrets,
)

PLANTED = "Pl4ntedS3cret"

ADDRESSES = (
    "https://me:{}@x.org/a.txt",
    "HTTPS://me:{}@x.org/a.txt",
    "s3://KEY:{}@bucket/x",
    "s3:/KEY:{}@bucket/x",
    "s3://KEY:{}/more@bucket/x",
    "s3://KEY:more/{}@bucket/x",
    "https://{}@x.org/a.txt",
    "https://{}:@x.org/a.txt",
    "https://:{}@x.org/a.txt",
    "https//me:{}@x.org",
    "https:/me:{}@x.org",
    "https:me:{}@x.org",
    "//me:{}@x.org/a",
    "https://me:{}@[",
    "https://me:{}@",
    "https://me:{}",
    "https://me:{}/",
    "https://me:{}?x",
    "https://me:a@{}@x.org",
    "https://me:a?{}@x.org",
    "https://me:a#{}@x.org",
    "https://me:a b{}@x.org",
    "https://me:a\n{}@x.org/a.txt",
    "https://me:{}\n@x.org/a.txt",
    "https://me:a'{}@x.org/a.txt",
    'https://me:a"{}@x.org/a.txt',
    "https://me:a//{}@x.org/a.txt",
    "https://me%3A{}%40x.org/a.txt",
    "https%3A%2F%2Fme%3A{}%40x.org%2Fa.txt",
    "https%3a%2f%2fme:{}@x.org",
    "https://proxy.org/?to=https%3A%2F%2Fme%3A{}%40x.org",
    "zip://a.txt::http://me:{}@x.org/b.zip",
    "simplecache::zip://*.csv::s3://KEY:{}@bucket/b.zip",
    "filecache::https//me:{}@x.org",
    "https://[::1]:80@me:{}@x.org",
    "https://x.org/a?token={}",
    "https://x.org/a?X-Amz-Signature={}&b=1",
    "https://x.org/a?b=1&sig={}",
    "https://x.org/a#access_token={}",
    "abfs://box/a.txt?sv=1&sig={}",
    "a.txt?api_key={}",
    "https://user:hf_{}abcdefgh@hf.co/x",
    "hf_{}abcdefgh",
    "Authorization: Bearer {}",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "text", ["{}", "cannot reach {} now", "found '{}'.", 'found ["{}", 1]', "({})", "a\n  - {}\nb"]
)
def test_no_secret_is_left(address, text):
    for shape in (address, repr(address)[1:-1]):
        told = scrub(text.format(shape.format(PLANTED)))
        assert PLANTED not in told
        assert HIDDEN in told


def test_a_secret_that_is_encoded_is_no_longer_there_either():
    for secret in (quote("p@ss/w:rd"), base64.b64encode(PLANTED.encode()).decode()):
        assert secret not in scrub(f"https://me:{secret}@x.org/a")


@pytest.mark.parametrize(
    "text",
    [
        "notes.txt",
        "C:/notes/a.txt",
        "notes//a.txt, C:/Users/me/b.txt and file:///home/me/c.txt",
        "hf://datasets/me/it@main/a.txt",
        "me/it@refs/pr/1:config",
        "https://x.org:8080/a@b.txt",
        "http://127.0.0.1:8000, and http://localhost:80): refused; http://[::1]:80/a",
        "Type: nextfill train --out runs/a --resume",
        "training.epochs: found 'x'. Input should be a valid number.",
        "owner@example.org wrote at 10:30 // and said: so",
        "builtin:base-causal and scratch:gpt2",
        "hf_transfer and hf_datasets",
        "a ratio of 1:2@3",
        "wikitext:wikitext-2-raw-v1@main and me/rows:english@v1",
        "zip://a.txt::http://x.org/b.zip",
    ],
)
def test_what_holds_no_secret_stays(text):
    assert scrub(text) == text
    assert without_secrets(text) == text


def test_what_a_library_says_of_a_bucket():
    assert scrub_of_library(f"Invalid bucket name 'KEY:{PLANTED}@bucket'") == (
        "Invalid bucket name '***@bucket'"
    )


def test_an_ordinary_query_is_hidden_in_a_message_alone():
    text = "see https://x.org/a?page=2#top"
    assert without_secrets(text) == text
    assert scrub(text) == "see https://x.org/a?***"
    assert redacted("https://x.org/a?page=2") == "https://x.org/a?***"
    assert has_secret("https://x.org/a?page=2")
