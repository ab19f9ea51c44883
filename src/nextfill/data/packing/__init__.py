"""From token ids to rows: plans that say which tokens make which block, and their reading."""
