"""Built-in corpora: English text that every Python installation holds."""
