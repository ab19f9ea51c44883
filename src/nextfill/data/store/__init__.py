"""From documents to token ids on disk: the encoder, the store and its cache."""
