"""Places in the blob store: what the rooms put there of a meeting, and erasure finds again."""


def audio_prefix(tenant_id: str, meeting_id: str) -> str:
    """Return where all sealed tracks of a meeting are."""
    return f"audio/{tenant_id}/{meeting_id}"


def artifacts_prefix(tenant_id: str, meeting_id: str) -> str:
    """Return where all artifacts of a meeting are."""
    return f"tenants/{tenant_id}/meetings/{meeting_id}/artifacts"


def meeting_prefixes(tenant_id: str, meeting_id: str) -> tuple[str, ...]:
    """Return where everything of a meeting is; nothing of it may lie elsewhere."""
    return audio_prefix(tenant_id, meeting_id), artifacts_prefix(tenant_id, meeting_id)
