"""How a room audits: the settings of the trail, and what tells HTTP requests behind calls."""

from dataclasses import dataclass, field
from typing import Self

from kit.audit.origin import Origins
from kit.audit.settings import AuditSettings
from kit.settings import AuthSettings


@dataclass(frozen=True, slots=True)
class Auditing:
    """What a room needs to know for the trail."""

    settings: AuditSettings
    origins: Origins = field(default_factory=Origins)

    @classmethod
    def of(cls, settings: AuditSettings, auth: AuthSettings) -> Self:
        """Return what the settings say: what only rooms share vouches for origins, unless everybody is trusted."""
        return cls(settings, Origins(auth.shared_by_rooms, trusting=auth.auth_mode == "none"))
