"""Metrics of the stt room; RPCs are counted by the kit."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

STREAMS = Gauge("agent_stt_streams", "Streams and recordings open now.")
AUDIO_SECONDS = Counter("agent_stt_audio_seconds", "Sound received, in seconds.")
FINALS = Counter("agent_stt_finals", "Finals sent, by engine.", ("engine",))
FINAL_SECONDS = Histogram(
    "agent_stt_final_seconds",
    "Time from the utterance's turn on its track to its text, waiting for a worker included, in seconds.",
    buckets=_SECONDS,
)
DECODE_SECONDS = Histogram("agent_stt_decode_seconds", "Time of one decode, in seconds.", ("mode",), buckets=_SECONDS)
INTERIMS_DROPPED = Counter("agent_stt_interims_dropped", "Interims given up for a newer one, or because they waited.")
DECODED_SECONDS = Counter(
    "agent_stt_decoded_seconds", "Sound decoded, interims included, in seconds.", ("engine", "tenant")
)
COST_USD = Counter("agent_stt_cost_usd", "What decoding was billed, in US dollars.", ("engine", "tenant"))
ENGINE_FAILURES = Counter("agent_stt_engine_failures", "Windows that an engine of the chain failed.", ("engine",))
BREAKERS_OPENED = Counter("agent_stt_breakers_opened", "Times that an engine was sent to rest.", ("engine",))
