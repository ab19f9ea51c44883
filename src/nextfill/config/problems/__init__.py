"""Settings that contradict one another, or that cannot hold: refused before anything is read."""
