"""Training with Keras: models of transformers' families, their weights both ways, and `fit`."""
