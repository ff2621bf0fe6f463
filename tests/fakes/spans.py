"""A sink that remembers spans and insists that each follows on from the last; a decoder whose samples are numbers."""

from services.connector.spans import Kind, Reason


class RecordedSpans:
    """Spans as `(start, end, "ok" | "fec" | "plc" | "fill" | "muted" | "no_packets")`, and the samples."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.position = start
        self.spans: list[tuple[int, int, str]] = []
        self.pcm = bytearray()

    def audio(self, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples."""
        assert pcm, "an empty span"
        assert len(pcm) % 2 == 0
        self._add(start_sample, start_sample + len(pcm) // 2, kind.value)
        self.pcm += pcm

    def gap(self, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""
        self._add(start_sample, end_sample, reason.value)
        self.pcm += bytes(2 * (end_sample - start_sample))

    def total(self, kind: str) -> int:
        """Return the number of samples of a kind."""
        return sum(end - start for start, end, each in self.spans if each == kind)

    def merged(self) -> list[tuple[int, int, str]]:
        """Return the spans, neighbours of one kind as one."""
        merged: list[tuple[int, int, str]] = []
        for start, end, kind in self.spans:
            if merged and merged[-1][2] == kind:
                merged[-1] = (merged[-1][0], end, kind)
            else:
                merged.append((start, end, kind))
        return merged

    def _add(self, start: int, end: int, kind: str) -> None:
        assert start == self.position, f"{kind} at {start}, but the track stands at {self.position}"
        assert end > start, f"an empty {kind}"
        self.position = end
        self.spans.append((start, end, kind))


class NumberedDecoder:
    """Takes payloads made by `numbered`; each frame of 320 samples repeats its number."""

    def decode(self, packet: bytes) -> bytes:
        """Return the frame."""
        return packet[:2] * 320

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Return the frame before, from the copy."""
        return packet[2:4] * samples

    def conceal(self, samples: int) -> bytes:
        """Return what no frame holds."""
        return b"\xff\x7f" * samples

    def carries_recovery(self, packet: bytes) -> bool:
        """Return whether there is a copy."""
        return len(packet) == 4


def numbered(number: int, *, copy: bool = True) -> bytes:
    """Make the payload of frame `number`, with a copy of the one before."""
    payload = number.to_bytes(2, "little")
    return payload + (number - 1).to_bytes(2, "little") if copy else payload
