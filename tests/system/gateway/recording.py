"""A recording that browsers play: Ogg/Opus, a tone as long as the interview."""

import io
from functools import cache

import av
import numpy as np
from google.api.httpbody_pb2 import HttpBody

from tests.integration.gateway import interview

_RATE = 48_000


@cache
def recording(seconds: float = interview.DURATION_MS / 1000) -> HttpBody:
    """Return the file as a room sends it."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=_RATE)
        stream.layout = "mono"
        stream.bit_rate = 16_000
        tone = (3_000 * np.sin(np.arange(_RATE) / _RATE * 2 * np.pi * 220)).astype(np.int16)
        for second in range(round(seconds)):
            frame = av.AudioFrame.from_ndarray(tone.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = _RATE, second * _RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return HttpBody(content_type="audio/ogg; codecs=opus", data=file.getvalue())
