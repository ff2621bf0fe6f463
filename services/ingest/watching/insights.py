"""Insights: what the report room said of a meeting so far, for a watcher that comes late."""

from collections.abc import Iterator

from agent.ingest.v1 import meeting_service_pb2 as pb

_MOST = 500


class Insights:
    """The newest talk statistics, and questions and actions, each once; the oldest make room."""

    def __init__(self) -> None:
        self._kept: dict[bytes, pb.LiveInsight] = {}

    def __iter__(self) -> Iterator[pb.LiveInsight]:
        return iter(list(self._kept.values()))

    def add(self, insight: pb.LiveInsight) -> bool:
        """Keep an insight; returns whether it is new."""
        mark = insight.SerializeToString(deterministic=True)
        if mark in self._kept:
            return False
        if insight.HasField("talk"):
            self._kept = {each: kept for each, kept in self._kept.items() if not kept.HasField("talk")}
        self._kept[mark] = insight
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return True
