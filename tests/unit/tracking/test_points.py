"""What is sent of an event and of the settings: numbers, and no secret or text of the user's."""

from __future__ import annotations

import json

from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import points_of, settings_of_run


def test_only_finite_numbers_are_points():
    event = {
        **{
            "event": "evaluation",
            "step": 3,
            "set": "far",
            "perplexity": None,
            "nats": float("inf"),
        },
        **{"objective": "causal", "interval": [1.5, None], "is_good": True, "targets": 7},
        **{"groups": {"a b": {"targets": 4}}},
    }
    assert [(one.name, one.step, one.value) for one in points_of(event)] == [
        ("far/interval/low", 3, 1.5),
        ("far/targets", 3, 7.0),
        ("far/groups/a b/targets", 3, 4.0),
    ]
    for kind in ("end", "stage", "sample"):
        assert points_of({"event": kind, "step": 3, "kept": 3}) == []


def test_settings_are_sent_without_secrets_and_without_the_users_text(tmp_path):
    (tmp_path / "config.toml").write_text(
        'seed = 7\nout = "/home/me"\n[data]\nsource = "https://me:secret@x.org/a.txt?token=1f2e3d"\n'
        '[training]\nsample_prompt = "Dear diary"\n[new_tokens]\nwords = ["Wort"]\n'
        '[share]\nrepo = "me/x"\n[tracking]\nto = "wandb"\n[model.config]\nn_layer = 2\n'
    )
    found = settings_of_run(RunDirectory(tmp_path))
    told = json.dumps(found)
    for hidden in ("secret", "1f2e3d", "Dear diary", "Wort", "me/x", "wandb", "/home/me"):
        assert hidden not in told
    assert found["seed"] == 7
    assert found["model.config.n_layer"] == 2
    assert found["data.source"].startswith("https://***@x.org/a.txt")
