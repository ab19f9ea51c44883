"""Runs on the Hugging Face Hub: who may, what is sent, and the card beside it."""
