"""Models served over HTTP: the APIs, the loop that decodes for all, and a page to try them on."""
