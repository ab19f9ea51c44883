"""Scores of documents, and the figures that say how well a model predicts them."""
