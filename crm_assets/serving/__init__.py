"""The HTTP API: scores, reasons, pipeline and forecast as the batch has them, and of opportunities thought of."""
