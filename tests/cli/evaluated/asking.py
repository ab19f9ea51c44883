"""Run a command as one types it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import nextfill
from nextfill.cli.main import main

QUICK = {"max_steps": 4, "block_size": 64, "batch_size": 4, "learning_rate": 3e-3}


def command(*words):
    """Run a command; return status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


def found(*words):
    status, out, err = command(*words, "--json", "--quiet")
    assert status == 0, err
    return json.loads(out)


def trained(model, data, out, **more):
    job = {"model": model, "data": data, "text_field": "text", "device": "cpu", **QUICK}
    return Path(nextfill.train(out=out, **job, **more).run)
