"""Documents in one row that do not see one another: masks, attention, and proofs by trying."""
