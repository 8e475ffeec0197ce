"""Alerts: what people are told, how often, in which words and by which way. Knows nothing of Dagster."""
