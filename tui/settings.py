"""Settings of the console."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.settings import Section


class ConsoleSettings(Section):
    """The operator's console."""

    model_config = SettingsConfigDict(env_prefix="AGENT_CONSOLE_")

    theme: Literal["dark", "light", "ansi"] = "dark"
    """Colours; `ansi` takes the terminal's own 16, as the console does by itself where there are no more."""
    glyphs: Literal["auto", "unicode", "ascii"] = "auto"
    """Characters to draw with; `auto` asks the locale and the terminal's name."""
    mouse: bool = True
    """Whether the mouse moves the cursor; without it the terminal's own text selection works."""
    max_hz: Annotated[int, Field(ge=1, le=10)] = 2
    """Frames per second that the gateway sends at most."""
    operator: Annotated[str, Field(max_length=64)] = ""
    """Who works here, where several people share a key: stands before the reason of each order in the audit trail."""
