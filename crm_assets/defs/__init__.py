"""The Dagster shell: thin assets, checks, jobs and schedules, one module per group of the graph."""
