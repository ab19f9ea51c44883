"""A secret planted wherever text is taken stands in nothing that comes out: output, file or page.

Takes about three minutes.
"""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

pytestmark = pytest.mark.trial

PLANTED = "Pl4ntedS3cretKeepOut"
HOST = "127.0.0.1:9"  # where nobody answers
WEB = f"http://me:{PLANTED}@{HOST}/a.txt"
S3 = f"s3://KEY:{PLANTED}@bucket/x"
NESTED = f"zip://a.txt::http://me:{PLANTED}@{HOST}/b.zip"
HUB = f"hf_{PLANTED}"

RECIPES = {
    "wrong-type.toml": f'[training]\nepochs = "{WEB}"\n',
    "wrong-table.toml": f'[training]\nepochs = {{ "{WEB}" = 1 }}\n',
    "unknown.toml": f'[training]\n"{WEB}" = 1\n',
    "source.toml": f'[data]\nsource = "{S3}"\n',
    "sources.toml": f'[[data]]\nsource = "{WEB}"\n[[data]]\nsource = "a.txt"\n',
    "model.toml": f'model = "{WEB}"\n',
    "prompt.toml": f'[training]\nsample_prompt = "see {WEB} for more"\n',
    "set.toml": f'[evaluation."{WEB}"]\nsource = "a.txt"\n',
    "set-source.toml": f'[evaluation.far]\nsource = "{NESTED}"\n',
    "broken.toml": f'model = "{WEB}\n',
    "share.toml": f'[share]\nrepo = "{WEB}"\n',
}

TRAIN = ("train", "--data", "a.txt", "--max-steps", "1", "--block-size", "32")

COMMANDS: list[tuple[str, ...]] = [
    *(("train", name, "--max-steps", "1", "--out", "run") for name in RECIPES),
    ("train", WEB),
    ("train", "--data", WEB),
    ("train", "--data", S3),
    ("train", "--data", NESTED),
    ("train", "--data", f"https//me:{PLANTED}@{HOST}/a.txt"),
    ("train", "--data", f"https://me:{PLANTED}@["),
    ("train", "--data", f"https://me:{PLANTED}"),
    ("train", "--data", f"HTTP://me:{PLANTED}@{HOST}/a.txt"),
    ("train", "--data", f"http%3A%2F%2Fme%3A{PLANTED}%40{HOST}%2Fa.txt"),
    ("train", "--data", f"http://me:{PLANTED}\n@{HOST}/a.txt"),
    ("train", "--data", f"http://{HOST}/a.txt?X-Amz-Signature={PLANTED}"),
    ("train", "--data", f"hf://datasets/me/{HUB}/a.txt"),
    (*TRAIN, "--eval-data", WEB),
    (*TRAIN, "--out", S3),
    (*TRAIN, "--cache-dir", S3),
    (*TRAIN, "--model", S3),
    (*TRAIN, "--tokenizer", WEB),
    (*TRAIN, "--revision", HUB),
    (*TRAIN, "--text-field", WEB),
    (*TRAIN, "--sample-prompt", f"see {WEB}"),
    (*TRAIN, "--lora-targets", WEB),
    (*TRAIN, "--share", WEB),
    (*TRAIN, "--share-license", HUB),
    (*TRAIN, "--set", f"training.epochs={WEB}"),
    (*TRAIN, "--set", f"{WEB}=1"),
    (*TRAIN, "--set", f'model.config.n_layer="{WEB}"'),
    (*TRAIN, f"--{WEB}", "1"),
    (*TRAIN, "--keep-fields", WEB),
    (*TRAIN, "--join", WEB),
    ("train", "--out", S3, "--resume"),
    ("prepare", "--data", WEB),
    ("prepare", "--data", "a.txt", "--cache-dir", S3),
    ("evaluate", WEB),
    ("evaluate", "builtin:base-causal", "--data", WEB),
    ("evaluate", "builtin:base-causal", S3, "--data", "a.txt"),
    ("evaluate", "builtin:base-causal", "--data", "a.txt", "--out", f"{S3}.jsonl"),
    ("evaluate", "builtin:base-causal", "--data", "a.txt", "--page", f"{S3}.html"),
    ("generate", WEB, "x"),
    ("generate", "builtin:base-causal", "--prompts", WEB),
    ("generate", "builtin:base-causal", "x", "--out", f"{S3}.jsonl"),
    ("fill", S3, "x ___"),
    ("fill", "builtin:base-masked", "--prompts", NESTED),
    ("report", WEB),
    ("report", S3),
    ("share", WEB, "me/model"),
    ("share", "run", WEB),
    ("recipes", WEB),
    (WEB,),
    ("cache", WEB),
    ("cache", "list", "--cache-dir", S3),
    ("cache", "prune", "--older-than", WEB),
    ("tokenizer", "train", "--data", WEB, "--out", "words"),
    ("tokenizer", "train", "--data", "a.txt", "--out", S3),
    ("tokenizer", "inspect", WEB, "--data", "a.txt"),
]

VARIABLES: list[tuple[dict[str, str], tuple[str, ...]]] = [
    ({"NEXTFILL_CACHE": S3}, ("cache", "list")),
    ({"NEXTFILL_CACHE_LIMIT": WEB}, ("cache", "size")),
    ({"HTTPS_PROXY": WEB, "HTTP_PROXY": WEB}, ("generate", "nobody/none", "x")),
    ({"HTTPS_PROXY": f"socks9://me:{PLANTED}@{HOST}"}, ("generate", "nobody/none", "x")),
    ({"HTTP_PROXY": WEB}, ("prepare", "--data", "http://example.org/a.txt")),
    ({"HF_TOKEN": HUB}, ("generate", "nobody/none", "x")),
    ({"HF_TOKEN": f"{HUB}\n"}, ("generate", "nobody/none", "x")),
    ({"HF_ENDPOINT": f"http://me:{PLANTED}@{HOST}"}, ("generate", "nobody/none", "x")),
    ({"COLUMNS": WEB}, ("train", "--help")),
    ({"AWS_ENDPOINT_URL": WEB}, ("prepare", "--data", "s3://bucket/a.txt")),
]


def places(content: bytes) -> Iterator[bytes]:
    """Yield what stands in a file, in an archive, too."""
    yield content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)


def leaks(content: bytes) -> bool:
    """Tell whether the secret stands there: as it is, encoded, or in base64."""
    forms = {PLANTED.encode(), PLANTED.lower().encode(), quote(PLANTED).encode()}
    for before in ("", "a", "ab", "me:", "KEY:"):  # whose length shifts the letters
        whole = base64.b64encode((before + PLANTED).encode()).decode()
        start = -(-len(before) * 4 // 3)
        forms.add(whole[start : start + 16].encode())
    text = content.decode("utf-8", "replace")
    plain = unquote(text).encode() + text.lower().encode()
    return any(form in content or form in plain for form in forms)


def run(folder: Path, words: tuple[str, ...], more: dict[str, str]) -> list[str]:
    """Run a command in a folder of its own; return where its secret came out."""
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(f"A note of day {n}." for n in range(40)), "utf-8")
    given = {"a.txt"}
    for name in set(words) & RECIPES.keys():
        (folder / name).write_text(RECIPES[name], "utf-8")
        given.add(name)
    kept = {
        "NEXTFILL_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hub"),
        "HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "nextfill", *words],
        cwd=folder,
        env={**os.environ, **kept, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=300,
    )
    if not more:
        assert done.returncode in (0, 2), (words, done.stderr)
    assert b"Traceback" not in done.stderr or more, (words, done.stderr)
    out = [
        f"{stream}: {text.decode('utf-8', 'replace')[-300:]}"
        for stream, text in (("stdout", done.stdout), ("stderr", done.stderr))
        if leaks(text)
    ]
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if name in given:
            continue
        if leaks(name.encode()) or (path.is_file() and any(map(leaks, places(path.read_bytes())))):
            out.append(name)
    return out


def test_a_planted_secret_comes_out_nowhere(tmp_path: Path) -> None:
    tried = [(words, {}) for words in COMMANDS] + [(words, more) for more, words in VARIABLES]
    assert len(tried) >= 30

    def one(number: int) -> list[str]:
        words, more = tried[number]
        return run(tmp_path / str(number), words, more)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, range(len(tried))))
    leaked = {f"{tried[n]}": out for n, out in enumerate(found) if out}
    print(f"\n{len(tried)} places, {len(leaked)} leaks")
    assert leaked == {}


class _Notes(BaseHTTPRequestHandler):
    """Gives everybody the same notes."""

    def do_GET(self) -> None:
        held_out = "b" in self.path.rpartition("/")[2]
        notes = (f"A note of day {n}, and more of it {held_out}." for n in range(60))
        text = "\n\n".join(notes).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def place() -> Iterator[str]:
    """An address with user and password where there is something to be read."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Notes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://me:{PLANTED}@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_made_of_data_at_an_address_with_a_secret(place: str, tmp_path: Path) -> None:
    data, other = f"{place}/a.txt?token={PLANTED}", f"{place}/b.txt"
    shape = ("--max-steps", "1", "--block-size", "32", "--batch-size", "2")
    sets = ("--set", f"evaluation.far={other}")
    run, model = str(tmp_path / "run"), "builtin:base-causal"
    jobs: list[tuple[str, ...]] = [
        ("train", "--data", data, "--eval-data", other, "--out", run, *shape, *sets),
        ("train", "--out", run, "--resume"),
        ("report", run),
        ("evaluate", run, "--page", str(tmp_path / "p.html"), "--out", str(tmp_path / "o.jsonl")),
        ("evaluate", model, "--data", data, "--json"),
        ("prepare", "--data", data, "--json"),
        ("tokenizer", "train", "--data", data, "--out", str(tmp_path / "words")),
        ("tokenizer", "inspect", str(tmp_path / "words"), "--data", data, "--json"),
        ("cache", "list"),
        ("cache", "list", "--json"),
    ]
    kept = {"NEXTFILL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for words in jobs:
        done = subprocess.run(
            [sys.executable, "-m", "nextfill", *words],
            env={**os.environ, **kept},
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, (words, done.stderr)
        assert not leaks(done.stdout + done.stderr), words
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    leaked = [path for path in files if any(map(leaks, places(path.read_bytes())))]
    print(f"\n{len(jobs)} commands, {len(files)} files, {len(leaked)} leaks")
    assert leaked == []
