"""What runs the table expressions: Polars, DuckDB or Spark behind one small protocol."""

from crm_assets.engines.engine import Engine, EngineChoice, choose_engine, open_engine

__all__ = ["Engine", "EngineChoice", "choose_engine", "open_engine"]
