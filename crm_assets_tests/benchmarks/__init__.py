"""How fast and how large: the tables per engine next to pandas, and the demo's own work next to Dagster's."""
