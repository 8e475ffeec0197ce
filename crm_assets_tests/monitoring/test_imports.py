import subprocess
import sys

HEAVY = ("evidently", "matplotlib", "mlflow", "pandas", "pandera", "plotly", "scipy", "sklearn")
MODULES = (
    "crm_assets.monitoring.closing_rates",
    "crm_assets.monitoring.drift",
    "crm_assets.monitoring.drift_columns",
    "crm_assets.monitoring.drift_level",
    "crm_assets.monitoring.drift_page",
    "crm_assets.monitoring.drift_plot",
    "crm_assets.monitoring.errors",
    "crm_assets.monitoring.estimated_performance",
    "crm_assets.monitoring.evidently_table",
    "crm_assets.monitoring.fixed_age",
    "crm_assets.monitoring.injection",
    "crm_assets.monitoring.performance",
    "crm_assets.monitoring.performance_comparison",
    "crm_assets.monitoring.reference",
    "crm_assets.monitoring.reference_rows",
    "crm_assets.monitoring.retraining",
    "crm_assets.monitoring.rows",
    "crm_assets.monitoring.two_samples",
)


def test_importing_the_modules_loads_no_heavy_library() -> None:
    code = f"import sys, {', '.join(MODULES)}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
