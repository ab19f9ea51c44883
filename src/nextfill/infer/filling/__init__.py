"""Fill blanks with a masked model."""
