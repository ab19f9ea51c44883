"""Models computed for use: by hand where their layout is known, else as they are."""
