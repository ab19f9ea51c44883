"""`nextfill share` and `login` against a small Hub: what is sent, refused and told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from nextfill.cli.main import main
from nextfill.core.checksums import record_files
from tests.hub.client import READ_TOKEN, TOKEN, User
from tests.hub.server import Account, Fault, Hub

# huggingface_hub's own, when it sends a file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def hub():
    with Hub() as hub:
        yield hub


@pytest.fixture
def user(hub, tmp_path):
    hub.repos.clear()
    hub.stored.clear()
    hub.faults.clear()
    hub.calls.clear()
    return User(hub, tmp_path / "home")


@pytest.fixture
def run(make_run, tmp_path):
    """A run whose model is of no use but has all the files."""
    run = make_run(tmp_path / "my run")
    (run / "model" / "model.safetensors").write_bytes(b"weights")
    (run / "model" / "tokenizer.json").write_text("{}")
    (run / "model" / "diary.txt").write_text("private")
    return run


@pytest.fixture
def here(user, monkeypatch):
    """The Hub for this very process, which saves the seconds that PyTorch takes to import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", user.hub.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return user.hub


def digest(folder: Path) -> str:
    """Return what changes when any file of a folder does, but for the card, which may be made."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md")
    return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in files)).hexdigest()


def assert_no_token(*folders: Path, but: Path, said: str) -> None:
    """Check that no token stands in what was said, nor in any file but huggingface_hub's own."""
    secrets = (TOKEN, READ_TOKEN)
    assert not any(secret in said for secret in secrets)
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.parent != but:
                content = path.read_bytes()
                assert not any(secret.encode() in content for secret in secrets), path


def test_a_run_is_shared_once_and_then_nothing_has_changed(user, here, run, capsys, tmp_path):
    told = []

    def share(folder, *words):
        assert main(["share", str(folder), "me/model", *words, "--json"]) == 0
        told.extend(capsys.readouterr())
        return json.loads(told[-2])

    before = digest(run)
    done = user.run("share", "my run", "me/model", cwd=tmp_path)
    assert done.status == 0, done.err
    assert f"shared: {user.hub.url}/me/model" in done.out
    repo = user.hub.repos["models", "me/model"]
    names = {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert set(repo.head) - {".gitattributes"} == names  # and no diary
    assert repo.head["model.safetensors"] == b"weights"
    card = repo.head["README.md"].decode()
    assert 'model="me/model"' in card
    assert "nextfill generate me/model " in card
    assert str(tmp_path) not in card
    assert len(repo.order) == 2
    again = share(run / "model", "--quiet")
    assert again["sent"] == again["removed"] == []
    assert (again["unchanged"], again["commit"]) == (4, repo.order[-1])
    assert len(repo.order) == 2
    assert not repo.private
    (run / "model" / "tokenizer.json").write_text('{"new": 1}')
    assert share(run, "--license", "mit")["sent"] == ["README.md", "tokenizer.json"]
    assert "\nlicense: mit\n" in repo.head["README.md"].decode()
    (run / "model" / "tokenizer.json").write_text("{}")
    assert share(run)["sent"] == ["tokenizer.json"]
    assert "\nlicense: mit\n" in repo.head["README.md"].decode()  # once stated, it stays
    assert digest(run) == before
    assert_no_token(run, tmp_path, but=user.home, said="".join([done.out, done.err, *told]))


def test_what_cannot_be_shared_says_why_and_makes_nothing(here, run, capsys, monkeypatch):
    hub = here
    hub.add("me/public", {})
    hub.add("me/gated", {}, gated=True)
    hub.add("you/public", {})
    hub.add("you/gated", {}, gated=True)
    hub.accounts["hf_fine"] = Account(
        "me", "fineGrained", scoped=({"entity": {"name": "team"}, "permissions": ["repo.write"]},)
    )
    expected = [
        (("me/public", "--private"), TOKEN, "exists and is public"),
        (("you/public",), TOKEN, "may not do that (403)"),
        (("you/gated",), TOKEN, "it is gated"),
        (("you/new",), TOKEN, "you/new cannot be made: you are me"),
        (("me/new",), READ_TOKEN, "your token (read) may not write"),
        (("me/public",), READ_TOKEN, "may not do that (403)"),
        (("me/new",), "hf_fine", "give team/..."),
        (
            ("me/new",),
            "hf_wrong",
            "the token (401): it is the one in HF_TOKEN; unset that",
        ),
    ]
    for words, token, telling in expected:
        monkeypatch.setenv("HF_TOKEN", token)
        assert main(["share", str(run), *words]) == 2, words
        told = capsys.readouterr()
        assert telling in told.err, (words, told.err)
        assert f"  nextfill share '{run}' {' '.join(words)}" in told.err
        assert token not in told.out + told.err
        assert told.out == ""
    assert all(len(repo.order) == 1 for repo in hub.repos.values())
    assert len(hub.repos) == 4


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (("my run", "name"), "'name' names no repository on the Hub: expected USER/NAME."),
        (("my run", "me/"), "expected USER/NAME"),
        (("my run", "./folder"), "is a folder's path, and a model is shared as USER/NAME"),
        (("my run", "a/b/c"), "can be no repository"),
        (("my run", "me/né"), "can be no repository"),
        (("my run", "me/x..y"), "can be no repository"),
        (("my run", "me/" + 200 * "x"), "can be no repository"),
        (("my run", "me/x", "--license", "MIT; rm"), "--license 'MIT; rm': expected a name"),
        (("my run", "me/x", "--adapter"), "--adapter: the model of my run is whole."),
        (("nothing", "me/x"), "nothing holds no run and no model"),
        (("my run",), "repo"),
    ],
)
def test_settings_that_cannot_be_send_nothing(run, tmp_path, monkeypatch, capsys, words, telling):
    monkeypatch.chdir(tmp_path)
    assert main(["share", *words]) == 2
    assert telling in capsys.readouterr().err


def test_an_unfinished_run_is_told_how_to_finish(make_run, tmp_path, capsys):
    run = make_run(tmp_path / "run", finished=False)
    assert main(["share", str(run), "me/x"]) == 2
    assert f"nextfill train --out {run} --resume" in capsys.readouterr().err


def test_a_failed_push_leaves_the_run_whole_and_can_be_repeated(
    here, user, run, tmp_path, capsys, monkeypatch
):
    before = digest(run)
    monkeypatch.setattr("nextfill.core.hub_client.PATIENCE_S", 1)
    here.faults.append(Fault("put", status=503, times=-1, message=f"echo {TOKEN}"))
    assert main(["share", str(run), "me/model"]) == 2
    failed = capsys.readouterr()
    assert "status 503 from localhost (PUT /store/" in failed.err
    assert (
        f"Everything is saved here. Try again with:\n  nextfill share '{run}' me/model"
        in failed.err
    )
    assert digest(run) == before
    assert len(here.repos["models", "me/model"].order) == 1
    here.faults[:] = [Fault("commit", status=400, message=f"{TOKEN} is no good")]
    assert main(["share", str(run), "me/model"]) == 2
    echoed = capsys.readouterr().err
    assert "the Hub answered 400" in echoed
    assert "(token) is no good" in echoed
    assert main(["share", str(run), "me/model"]) == 0
    assert len(here.repos["models", "me/model"].order) == 2
    assert_no_token(tmp_path, but=user.home, said=failed.out + failed.err + echoed)


def test_an_answer_lost_after_the_commit_is_no_failure(here, run, capsys):
    here.faults.append(Fault("commit", cut="after"))
    assert main(["share", str(run), "me/model", "--json"]) == 0
    repo = here.repos["models", "me/model"]
    assert len(repo.order) == 2
    assert json.loads(capsys.readouterr().out)["commit"] == repo.order[-1]


def test_what_of_a_model_is_left_over_is_told(here, tiny_model, tmp_path, capsys):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    assert main(["share", str(folder), "me/short"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "weights of the checkpoint have no place in the model" in told


def test_a_model_that_leads_out_of_its_folder_is_not_sent(here, tiny_model, tmp_path, capsys):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "tokenizer.json").rename(tmp_path / "secret")
    (folder / "tokenizer.json").symlink_to("../secret")
    assert main(["share", str(folder), "me/linked"]) == 2
    assert "leads out of the model's folder" in capsys.readouterr().err


def test_login_keeps_the_token_with_huggingface_hub_alone(user, tmp_path):
    user.log_in("")
    user.hub.accounts["hf_team"] = Account("me", orgs=("team",))
    refused = user.run("login", "--token-stdin", cwd=tmp_path, text="hf_wrong\n")
    assert refused.status == 2
    assert "The token is not kept: the Hub does not accept the token" in refused.err
    assert (user.home / "token").read_text() == ""
    done = user.run("login", "--token-stdin", "--json", cwd=tmp_path, text=f"{TOKEN}\n")
    assert done.status == 0, done.err
    assert done.json == {
        **{"name": "me", "role": "write", "organizations": ["team"]},
        **{"writable": ["me", "team"], "token_name": "test"},
    }
    assert (user.home / "token").read_text() == TOKEN
    assert TOKEN not in done.out + done.err
    for text, telling in [("", "no token on stdin"), ("two words\n", "That is no token: found 9")]:
        odd = user.run("login", "--token-stdin", cwd=tmp_path, text=text)
        assert odd.status == 2
        assert telling in odd.err
        assert "two words" not in odd.err
    assert "--token-stdin" in user.run("login", cwd=tmp_path).err


def test_training_asks_before_it_begins_and_shares_at_the_end(
    here, user, tiny_model, text_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["--model", str(tiny_model), "--data", str(text_file), "--block-size", "64"]
    words += ["--max-steps", "2", "--out", "run", "--quiet"]
    assert main(["train", *words, "--share", "you/x"]) == 2
    assert "you/x cannot be made" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    here.faults.append(Fault("create", status=500))
    assert main(["train", *words, "--share", "team/x", "--share-private", "--json"]) == 2
    late = capsys.readouterr()
    assert json.loads(late.out)["steps"] == 2  # the results are shown first
    assert "the Hub has a fault of its own (500)" in late.err
    assert "nextfill share run team/x --private" in late.err
    assert ("models", "team/x") not in here.repos
    more = ["--share", "team/y"]  # which a resumed run may be told
    assert main(["train", "--resume", "--out", "run", "--json", "--quiet", *more]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out)["shared"] == f"{here.url}/team/y"
    repo = here.repos["models", "team/y"]
    assert repo.private
    assert b"# run" in repo.head["README.md"]
    assert str(tmp_path).encode() not in b"".join(repo.head.values())
    assert json.loads(repo.head["config.json"])["model_type"] == "gpt2"
    cache = Path(os.environ["NEXTFILL_CACHE"])
    said = late.out + late.err + again.out + again.err
    assert_no_token(tmp_path, cache, but=user.home, said=said)


def test_an_adapter_is_merged_unless_it_is_sent_alone(
    here, tiny_model, text_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["--model", str(tiny_model), "--data", str(text_file), "--block-size", "64"]
    words += ["--max-steps", "1", "--out", "run", "--quiet", "--lora-rank", "2"]
    assert main(["train", *words, "--lora-merge", "--share", "me/x", "--share-adapter"]) == 2
    assert "--share-adapter: this run makes no adapter" in capsys.readouterr().err
    assert main(["train", *words]) == 0
    capsys.readouterr()
    assert main(["share", "run", "me/x", "--adapter"]) == 2
    assert "for a model on this machine" in capsys.readouterr().err
    assert here.calls["create"] == 0
    assert main(["share", "run", "me/x"]) == 0
    repo = here.repos["models", "me/x"]
    assert "model.safetensors" in repo.head
    assert not [name for name in repo.head if "adapter" in name]
    assert b"library_name: transformers" in repo.head["README.md"]
    assert main(["share", "run", "me/x"]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    # As if the base were on the Hub: the adapter goes alone, and takes the model's place.
    config = tmp_path / "run" / "model" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(tiny_model), "me/base"))
    record_files(tmp_path / "run", ["model/adapter_config.json"])
    assert main(["share", "run", "me/x", "--adapter"]) == 0
    assert "removed: config.json, generation_config.json, model.saf" in capsys.readouterr().out
    assert "adapter_model.safetensors" in repo.head
    assert b"library_name: peft" in repo.head["README.md"]
    assert str(tmp_path).encode() not in b"".join(repo.head.values())


def test_without_the_hub_it_is_told_within_seconds(run, capsys, monkeypatch):
    """The tests' own endpoint, where nothing listens."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["share", str(run), "me/x"]) == 2
    assert "the Hub cannot be reached (ConnectError" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["share", str(run), "me/x"]) == 2
    assert "offline mode is on: unset HF_HUB_OFFLINE." in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    assert main(["share", str(run), "me/x"]) == 2
    assert "there is no token: set HF_TOKEN, or type: nextfill login" in capsys.readouterr().err
