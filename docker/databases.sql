-- Run once, when PostgreSQL's volume is empty. Dagster's own database is POSTGRES_DB.
CREATE DATABASE mlflow;
