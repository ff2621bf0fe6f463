"""Opus, decoded straight to 16 kHz mono by libopus, with concealment and in-band error correction."""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path

from services.connector.spans import BYTES_PER_SAMPLE, SAMPLE_RATE

_LONGEST_PACKET_SECONDS = 0.12
_SHORTEST_FRAME = SAMPLE_RATE // 400  # 2.5 ms: libopus conceals in multiples of it


class OpusUnavailable(Exception):
    """No usable libopus: install the wheel of PyAV, which carries one, or the system's libopus (`libopus0`)."""


class OpusUndecodable(Exception):
    """The packet is not valid Opus."""


class OpusDecoder:
    """Decodes one stream of Opus packets. Everything returned is s16le, mono, 16 kHz.

    Raises:
        OpusUnavailable: there is no libopus on this machine.
    """

    def __init__(self) -> None:
        self._library = load()
        error = ctypes.c_int()
        self._state: int | None = self._library.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error))
        if error.value != 0 or not self._state:
            raise OpusUnavailable(f"libopus refuses to make a decoder (error {error.value})")
        self._capacity = int(_LONGEST_PACKET_SECONDS * SAMPLE_RATE)
        self._buffer = (ctypes.c_int16 * self._capacity)()
        self._view = memoryview(self._buffer).cast("B")

    def decode(self, packet: bytes) -> bytes:
        """Decode a packet of at most 120 ms.

        Raises:
            OpusUndecodable: the packet is broken.
        """
        return self._decode(packet, self._capacity, recover=False)

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Return the `samples` that went before `packet`, from the copy inside it or, without one, concealed.

        Raises:
            OpusUndecodable: the packet is broken.
        """
        return self._decode(packet, samples, recover=True)

    def conceal(self, samples: int) -> bytes:
        """Invent `samples` (a multiple of 40) that continue what was decoded last."""
        return self._decode(None, samples, recover=False)

    def carries_recovery(self, packet: bytes) -> bool:
        """Return whether `packet` holds a copy of the frame before it."""
        if self._library.has_recovery is None:
            return False
        return bool(self._library.has_recovery(packet, len(packet)) == 1)

    def _decode(self, packet: bytes | None, samples: int, *, recover: bool) -> bytes:
        samples -= samples % _SHORTEST_FRAME
        length = len(packet) if packet else 0
        count = self._library.opus_decode(self._state, packet, length, self._buffer, samples, int(recover))
        if count < 0:
            raise OpusUndecodable(f"libopus error {count}")
        return bytes(self._view[: count * BYTES_PER_SAMPLE])

    def __del__(self) -> None:
        state, self._state = getattr(self, "_state", None), None
        if state:
            self._library.opus_decoder_destroy(state)


class _Library:
    """The functions of libopus that are used, with their types."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.opus_decoder_create = library.opus_decoder_create
        self.opus_decoder_create.restype = ctypes.c_void_p
        self.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
        self.opus_decoder_destroy = library.opus_decoder_destroy
        self.opus_decoder_destroy.restype = None
        self.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
        self.opus_decode = library.opus_decode
        self.opus_decode.restype = ctypes.c_int
        self.opus_decode.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int32,
            ctypes.POINTER(ctypes.c_int16),
            ctypes.c_int,
            ctypes.c_int,
        ]
        # Older than libopus 1.5: whether a packet carries a copy cannot be asked, so nothing is claimed as recovered.
        self.has_recovery = getattr(library, "opus_packet_has_lbrr", None)
        if self.has_recovery is not None:
            self.has_recovery.restype = ctypes.c_int
            self.has_recovery.argtypes = [ctypes.c_char_p, ctypes.c_int32]


@cache
def load() -> _Library:
    """Load libopus: PyAV's own copy first, because its version is the one that was measured, then the system's.

    Raises:
        OpusUnavailable: neither is there.
    """
    for path in (*_bundled(), ctypes.util.find_library("opus"), "libopus.so.0"):
        if path is None:
            continue
        try:
            return _Library(ctypes.CDLL(path))
        except (OSError, AttributeError):
            continue
    raise OpusUnavailable(
        "libopus was not found: install the wheel of PyAV, which carries it, or the package `libopus0`"
    )


def _bundled() -> list[str]:
    try:
        import av
    except ImportError:
        return []
    libraries = Path(av.__file__).parent.parent / "av.libs"
    return [str(path) for path in sorted(libraries.glob("libopus-*.so*"))]
