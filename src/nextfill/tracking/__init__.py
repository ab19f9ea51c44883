"""Trackers: the points of a run's events, sent to stores of other programs."""
