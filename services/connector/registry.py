"""Which providers there are: our own, and those that installed packages add under the entry point group."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from kit.settings import SettingsError, load
from services.connector.errors import ProviderDisabled, ProviderUnknown
from services.connector.provider import Provider, ProviderKind, PullProvider, Surroundings

ENTRY_POINT_GROUP = "interview_agent.call_providers"

_BUILT_IN = ("room", "browser", "janus", "sberjazz", "sberjazz_mock", "whep", "whip")


@dataclass(frozen=True, slots=True)
class Installed:
    """One provider of this process; `hint` says what to set where it is off."""

    kind: ProviderKind
    provider: Provider | PullProvider | None
    hint: str


class Registry:
    """Providers by name.

    Args:
        providers: every one that is installed.
        default_name: for requests that name none.
    """

    def __init__(self, providers: Mapping[str, Installed], default_name: str) -> None:
        self.installed = providers
        self.default_name = default_name

    def kind(self, name: str) -> ProviderKind:
        """Return how a provider describes itself.

        Raises:
            ProviderUnknown: there is none of this name.
        """
        return self._find(name).kind

    def provider(self, name: str) -> Provider | PullProvider:
        """Return a provider that can be used.

        Raises:
            ProviderUnknown: there is none of this name.
            ProviderDisabled: it is not switched on; the message says what to set.
        """
        found = self._find(name)
        if found.provider is None:
            raise ProviderDisabled(found.hint, provider=name)
        return found.provider

    def _find(self, name: str) -> Installed:
        found = self.installed.get(name)
        if found is None:
            known = ", ".join(sorted(self.installed))
            raise ProviderUnknown(
                f"no provider {name!r} is installed; there are {known}", field="provider", provider=name
            )
        return found


def installed_kinds() -> Mapping[str, ProviderKind]:
    """Return every provider's description, ours first."""
    kinds = [import_module(f"services.connector.providers.{name}").KIND for name in _BUILT_IN]
    added = [cast("ProviderKind", point.load()) for point in entry_points(group=ENTRY_POINT_GROUP)]
    return {kind.name: kind for kind in (*kinds, *added)}


def make_registry(surroundings: Surroundings, default_name: str) -> Registry:
    """Make every provider that its settings allow.

    Raises:
        SettingsError: a provider's settings are wrong.
    """
    kinds = installed_kinds()
    if default_name not in kinds:
        raise SettingsError(
            [f"MEETING_CONNECTOR_PROVIDER: there is no {default_name!r}; use one of {', '.join(kinds)}"]
        )
    return Registry({name: _install(kind, surroundings) for name, kind in kinds.items()}, default_name)


def _install(kind: ProviderKind, surroundings: Surroundings) -> Installed:
    settings = load(kind.settings)[0] if kind.settings else None
    hint = kind.off(settings)
    return Installed(kind, None if hint else kind.make(settings, surroundings), hint)
