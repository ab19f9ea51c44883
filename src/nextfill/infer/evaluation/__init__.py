"""Score documents, and say how well a model, or which of several, predicts them."""
