"""From token ids to rows: plans of which tokens make which block, and their reading."""
