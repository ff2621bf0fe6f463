"""The key of each role: read anew for each session, so that a token which is renewed in its file stays good."""

from collections.abc import Callable

from kit.settings import load
from tui.connection import Connection
from tui.ssh.settings import Role, SshSettings


def role_key(role: Role, own: Callable[[], Connection]) -> str | None:
    """Return the key with which sessions of a role call the gateway, None if there is none.

    Args:
        role: of the person.
        own: says which key `agent-console` takes here by itself; only operators get that one.

    Raises:
        SettingsError: a setting is wrong now, such as a file that is gone.
    """
    (settings,) = load(SshSettings)
    given = settings.operator_key if role == "operator" else settings.viewer_key
    if given is not None and given.get_secret_value():
        return given.get_secret_value()
    return own().key if role == "operator" else None
