"""Using a model: scoring text and continuing it."""
