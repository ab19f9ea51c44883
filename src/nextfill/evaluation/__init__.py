"""Scores of documents, and figures of how well a model predicts them."""
