"""The peak memory of a command of ours.

Read from /proc while it runs: what ``wait4`` gives begins with the memory of the process that
started the command, which of a whole test run is gigabytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def run_measured(*words: str) -> tuple[dict[str, Any], int]:
    """Run a command to its end; return what it printed as JSON, and its peak memory in bytes."""
    command = [sys.executable, "-m", "nextfill", *words, "--quiet", "--json"]
    peak = 0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        while process.poll() is None:
            peak = max(peak, _high_water_mark(process.pid))
            time.sleep(0.02)
        assert process.returncode == 0
        out.seek(0)
        return json.load(out), peak


def _high_water_mark(process: int) -> int:
    """Return the most memory that a process has held so far; 0 once it is gone."""
    status = Path(f"/proc/{process}/status").read_text()
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
