"""Point-in-time sales probabilities from CRM history, as Dagster assets."""

__version__ = "0.1.0"
