"""The kinds of call that a run holds."""

from collections.abc import Mapping

from tests.chaos.calls import chunks, socket, stream, webrtc
from tests.chaos.calls.call import Kind

KINDS: Mapping[str, Kind] = {"stream": stream.hold, "chunks": chunks.hold, "socket": socket.hold}
"""How each is held, by name."""
WITNESSES: Mapping[str, Kind] = {webrtc.KIND: webrtc.hold}
"""Of these only what must hold after a connector's death is judged."""
