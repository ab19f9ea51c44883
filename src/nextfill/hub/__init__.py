"""Sharing of runs on the Hugging Face Hub: the account, the model's card, and the upload."""
