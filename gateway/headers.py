"""Request headers, read once: every layer asks for a few, and the list would be searched for each."""

from collections.abc import Mapping

from starlette.types import Scope

_READ = "agent.headers"


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Return a request's headers by their names in lower case; of several of one name the first."""
    found: Mapping[str, str] | None = scope.get(_READ)
    if found is None:
        found = scope[_READ] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
    return found
