"""Blanks filled by a masked model."""
