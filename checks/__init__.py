"""What `make checks` runs: tools and rules of our own that read the repository's files and need no network."""
