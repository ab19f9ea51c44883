"""The training objectives: blocks of tokens in, a batch with labels out."""
