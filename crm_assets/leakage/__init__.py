"""The leakage gate: probes that a feature table and a training must pass before a model may become champion."""
