"""What a process shows when it calls: a fixed key, or a credential that is made anew in time."""

from collections.abc import Callable

from kit.auth.keys import is_token

CARRIERS = ("x-api-key", "authorization")
"""Metadata in which credentials travel."""

Credential = str | Callable[[], str]
"""A key or a token, or what gives the present one."""


def present(credential: Credential) -> str:
    """Return what to show now."""
    return credential if isinstance(credential, str) else credential()


def header(credential: Credential) -> tuple[str, str]:
    """Return the metadata that shows a credential."""
    shown = present(credential)
    return ("authorization", f"Bearer {shown}") if is_token(shown) else ("x-api-key", shown)
