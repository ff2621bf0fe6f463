"""A register of replicas that says what it is told: who owns what, and where they are."""

from dataclasses import dataclass, field
from typing import Any

from kit.db.engine import DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as another one sees it, or itself."""

    replica_id: str
    address: str
    mine: bool = False


@dataclass
class Register:
    """One replica's view: meetings by key; what nobody owns becomes its own when it is claimed."""

    me: Replica
    owners: dict[Any, Replica] = field(default_factory=dict)
    away: bool = False
    """Whether the database is."""

    async def claim(self, key: Any) -> Replica:
        """Return the owner, from now on this replica if there was none."""
        self._check()
        return self.owners.setdefault(key, self.me)

    async def owner(self, key: Any) -> Replica | None:
        """Return the owner, if there is one."""
        self._check()
        return self.owners.get(key)

    def _check(self) -> None:
        if self.away:
            raise DatabaseUnavailable
