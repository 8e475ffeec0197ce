"""A CRM that never existed but behaves like one: event history, true probabilities, any size, drift on demand."""

from crm_assets.simulator.config import Drift, SimulationConfig
from crm_assets.simulator.simulation import Simulation, simulate

__all__ = ["Drift", "Simulation", "SimulationConfig", "simulate"]
