"""The code location: everything Dagster runs, with the settings of the environment. Nothing imports this module."""

from __future__ import annotations

import dagster as dg

from crm_assets.defs.composition import build_definitions
from crm_assets.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """The code location, with the settings of the environment."""
    return build_definitions(load_settings())
