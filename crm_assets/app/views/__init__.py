"""The views of the page, in the order of its menu."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from crm_assets.app.session import OPERATOR, VIEWER, User, refuse


@dataclass(frozen=True)
class View:
    """One page of the menu.

    Attributes:
        path: of its address, and the name of its module; the first view is at the root.
        title: in the menu and on top of it.
        icon: Streamlit's name of one.
        role: who may see it.
    """

    path: str
    title: str
    icon: str
    role: str = VIEWER

    def is_for(self, user: User) -> bool:
        """Whether a user may see it."""
        return self.role in (VIEWER, user.role)

    def show(self, user: User) -> Callable[[], None]:
        """What draws it, or says who may see it."""

        def draw() -> None:
            if not self.is_for(user):
                refuse(self.title, self.role)
                return
            self.load().draw(user)

        return draw

    def load(self) -> ModuleType:
        """Its module, with the libraries that it draws with."""
        return import_module(f"{__name__}.{self.path}")


VIEWS = (
    View("pipeline", "Pipeline", ":material/view_list:"),
    View("opportunity", "Opportunity", ":material/target:"),
    View("forecast", "Forecast", ":material/trending_up:"),
    View("model", "Model", ":material/psychology:"),
    View("monitoring", "Monitoring", ":material/monitor_heart:"),
    View("operations", "Operations", ":material/play_circle:", OPERATOR),
)
