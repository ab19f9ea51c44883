"""What all ranks must have in common before the first step."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from nextfill.config.recipe_file import to_toml
from nextfill.core.errors import ConfigError
from nextfill.training.distributed.rank_scoring import scored_parts
from nextfill.training.distributed.ranks import refuse_differences
from nextfill.training.setup import Setup


def check_agreement(setup: Setup) -> None:
    """Refuse ranks that have different data, models, settings or versions, naming what differs."""
    if setup.ranks.has_shares and setup.module.expert_load.num_layers:
        raise ConfigError(
            [
                f"--parallel fsdp: {setup.loaded.name} is a mixture of experts, of which a rank "
                "uses others than another: give --parallel ddp."
            ]
        )
    refuse_differences(setup.ranks.gather(_findings(setup)))


def _findings(setup: Setup) -> dict[str, str]:
    """Return checksums of what must be the same, by name."""
    config = replace(setup.config, out=None, log_level=None)
    config = replace(config, cache_dir=None, cache_limit=None, store=None)  # of a machine
    parts = [setup.prepared.train, *scored_parts(setup)]
    measured = setup.measured()
    return {
        "settings": _checksum(to_toml(config)),
        "model": _checksum(json.dumps(setup.origin, sort_keys=True, default=str)),
        "data": _checksum(
            *(part.store.meta["content_sha256"] for part in parts),
            *(part.documents.tobytes().hex() for part in parts),
        ),
        "blocks": _checksum(
            f"{setup.plan.num_blocks} {setup.plan.block_size} {setup.num_steps}",
        ),
        "isolation": f"{measured['isolation']} {measured['gathers_targets']}",
        "precision": f"{setup.config.precision} {setup.loaded.device.type}",
        "versions": json.dumps(measured["versions"]),
    }


def _checksum(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
