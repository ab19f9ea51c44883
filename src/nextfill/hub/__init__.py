"""Runs on the Hugging Face Hub: the account, the upload, and the card."""
