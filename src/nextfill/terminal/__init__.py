"""Progress, as a terminal or a notebook shows it."""
