"""Runs commands as a user of a small Hub would, in processes with a home of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hub.server import Account, Hub

TOKEN = "hf_secretWriteToken0123456789"  # noqa: S105
READ_TOKEN = "hf_secretReadToken0123456789"  # noqa: S105

# The limits are those of hub.py, but shorter where a test asks for it.
DRIVER = """
import sys
import nextfill.core.hub_client as limits
if sys.argv[1] != "-":
    limits.PATIENCE_S = limits.ANSWER_S = limits.COMMIT_S = float(sys.argv[1])
from nextfill.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str
    elapsed_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class User:
    """Somebody at a terminal, known to the Hub as ``me``."""

    hub: Hub
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hub.accounts[TOKEN] = Account("me", orgs=("team",))
        self.hub.accounts[READ_TOKEN] = Account("me", "read")
        self.log_in(TOKEN)

    def log_in(self, token: str) -> None:
        """Leave a token where huggingface_hub looks for it; an empty one logs out."""
        self.home.mkdir(exist_ok=True)
        (self.home / "token").write_text(token)

    def run(
        self, *argv: object, cwd: Path, text: str = "", patience_s: float | None = None, **env: str
    ) -> Done:
        """Run a command line."""
        limit = "-" if patience_s is None else str(patience_s)
        return self.python(DRIVER, limit, *argv, cwd=cwd, text=text, **env)

    def python(self, code: str, *argv: object, cwd: Path, text: str = "", **env: str) -> Done:
        """Run a program."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING"))}
        hub = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home)}
        still = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, argv)],
            env=kept | hub | still | self.env | env,
            cwd=cwd,
            input=text,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - start)
