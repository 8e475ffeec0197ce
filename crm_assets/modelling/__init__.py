"""The win model: training, backtest, promotion, forecast. Knows nothing of Dagster, MLflow or where tables live."""
