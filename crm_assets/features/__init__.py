"""The feature definitions, and the rules about what they may read."""
