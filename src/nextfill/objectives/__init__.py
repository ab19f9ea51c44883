"""What a model is trained to predict: blocks of tokens in, a batch with labels out."""
