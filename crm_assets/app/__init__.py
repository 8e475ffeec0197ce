"""The web page: what the API answers, for people. Nothing here reads the lake or scores; it asks the API."""
