"""Held-out documents that also stand in the training data."""
