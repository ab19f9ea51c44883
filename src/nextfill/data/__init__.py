"""Data: from whatever text the user names to rows of tokens, without any framework."""
