"""Training by several processes: the only room that knows of ranks."""
