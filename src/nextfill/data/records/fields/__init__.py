"""Fields of records: which one holds the text, and the documents made of it."""
