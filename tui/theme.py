"""Colours: our dark and light themes, and the terminal's own where there are only 16."""

from typing import Literal

from textual.theme import Theme

DARK = Theme(
    name="agent-dark",
    primary="#3B82A0",
    secondary="#8DB4D6",
    accent="#5EC8D8",
    foreground="#D6DEE6",
    background="#0E1318",
    surface="#12181F",
    panel="#1B242E",
    success="#6CC18E",
    warning="#E3B341",
    error="#F0716B",
    dark=True,
    variables={
        "border": "#33414F",
        "border-blurred": "#2A3542",
        "footer-background": "#1B242E",
        "footer-key-foreground": "#5EC8D8",
        "footer-description-foreground": "#9FB0C0",
    },
)
LIGHT = Theme(
    name="agent-light",
    primary="#1F6F8B",
    secondary="#2C5F8A",
    accent="#0B7285",
    foreground="#1B2733",
    background="#F4F6F8",
    surface="#FFFFFF",
    panel="#E4E9EE",
    success="#1E7F4B",
    warning="#9A6700",
    error="#B3261E",
    dark=False,
    variables={
        "border": "#B8C4CF",
        "border-blurred": "#CBD5DE",
        "footer-background": "#E4E9EE",
        "footer-key-foreground": "#0B7285",
        "footer-description-foreground": "#42525F",
    },
)
THEMES = (DARK, LIGHT)

ThemeWish = Literal["dark", "light", "ansi"]


def theme_name(wish: ThemeWish, color_system: str | None) -> str:
    """Return the theme to use on a terminal with this colour system ("standard": 16 colours).

    On 16 colours the nearest match of our reds is grey, so a failure would look like a hint.
    """
    if wish == "ansi" or color_system == "standard":
        return "ansi-light" if wish == "light" else "ansi-dark"
    return LIGHT.name if wish == "light" else DARK.name
