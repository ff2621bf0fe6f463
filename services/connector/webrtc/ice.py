"""ICE: by which servers our connections find a path, and whether they may take any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class IceAccess:
    """STUN and TURN servers as a browser takes them in `RTCConfiguration.iceServers`; the first of each kind is used.

    `relay_only` allows no path but through the TURN server, for machines whose firewall lets nothing else out.
    """

    servers: Sequence[dict[str, Any]] = ()
    relay_only: bool = False

    def also(self, servers: Sequence[dict[str, Any]]) -> "IceAccess":
        """Return an access that knows further servers, used where ours has none of the kind."""
        return IceAccess((*self.servers, *servers), self.relay_only)
