import subprocess
import sys

HEAVY = ("catboost", "evidently", "lightgbm", "matplotlib", "mlflow", "optuna", "pandas", "pandera", "scipy", "sklearn")
MODULES = (
    "crm_assets.modelling.backtest",
    "crm_assets.modelling.baselines",
    "crm_assets.modelling.candidates",
    "crm_assets.modelling.forecast",
    "crm_assets.modelling.forecast_accuracy",
    "crm_assets.modelling.metrics",
    "crm_assets.modelling.month_effect",
    "crm_assets.modelling.movement",
    "crm_assets.modelling.new_business",
    "crm_assets.modelling.plots",
    "crm_assets.modelling.promotion",
    "crm_assets.modelling.tuning",
    "crm_assets.modelling.win_model",
    "crm_assets.registry",
)


def test_importing_the_modules_loads_no_heavy_library() -> None:
    code = f"import sys, {', '.join(MODULES)}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_plots_keep_away_from_pyplot() -> None:
    code = (
        "import sys; from crm_assets.modelling import plots; plots.png(plots.score_histogram([0.1, 0.2])); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
