"""Replay, snapshots, closings and outcomes: what was known when, as table expressions for any engine."""
