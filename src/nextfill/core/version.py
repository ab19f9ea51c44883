"""The version, in one place that every layer may read."""

from __future__ import annotations

VERSION = "0.1.0"
