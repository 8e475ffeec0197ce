"""Colours of the page and its plots, for light and dark, told apart by the colour-blind.

The palette is that of Okabe and Ito (2008), "Color Universal Design"; on dark ground its lighter tones.
"""

from __future__ import annotations

from typing import Any

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#AA4499", "#56B4E9", "#D55E00", "#7F7F7F",
)  # fmt: skip
UP, DOWN = BLUE, VERMILION
"""What raises and what lowers a probability."""
RISK_COLOURS = {"low": GREEN, "medium": ORANGE, "high": VERMILION}
LEVEL_COLOURS = {"NONE": GREEN, "LOW": SKY, "MEDIUM": ORANGE, "HIGH": VERMILION}
"""Level of drift -> colour."""

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.5rem; padding-bottom: 3rem; }
[data-testid="stElementToolbar"] { display: none; }
</style>
"""
"""Of every view: Streamlit leaves a fifth of a laptop's height empty, and a table's own tools cover what is above it
and save only the rows in sight."""
CLOSE_MENU = """
<script>
if (!window.closesMenu) {
  window.closesMenu = true;
  document.addEventListener("click", (event) => {
    if (window.innerWidth < 768 && event.target.closest('[data-testid="stSidebarNavLink"]'))
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click(), 0);
  });
}
</script>
"""
"""On a phone, where the menu lies over the view that was chosen from it."""
DARK_STYLE = """
<style>
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primaryFormSubmit"] { color: #10161C; }
</style>
"""
"""What the theme cannot say: Streamlit writes white on the light primary colour of the dark theme."""

THEME: dict[str, Any] = {
    "theme.base": "light",
    "theme.primaryColor": "#005A8C",
    "theme.baseRadius": "small",
    "theme.headingFontSizes": ["2rem", "1.6rem", "1.35rem"],
    "theme.showWidgetBorder": True,
    "theme.light.backgroundColor": "#FFFFFF",
    "theme.light.secondaryBackgroundColor": "#F3F5F7",
    "theme.light.textColor": "#0B131B",
    "theme.light.primaryColor": "#005A8C",
    # Streamlit's own green on grey is too pale to read.
    "theme.light.codeTextColor": "#0B131B",
    "theme.dark.backgroundColor": "#10161C",
    "theme.dark.secondaryBackgroundColor": "#1A232C",
    "theme.dark.textColor": "#E8EDF2",
    "theme.dark.primaryColor": "#5BB5E8",
    "theme.dark.codeTextColor": "#E8EDF2",
}
"""Options of Streamlit's configuration."""
