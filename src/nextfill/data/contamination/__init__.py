"""Contamination: held-out documents that are also in the training data."""
