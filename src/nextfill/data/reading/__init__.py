"""From what `--data` names to documents: sources, formats, splits and fields."""
