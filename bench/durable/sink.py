"""`python -m bench.durable.sink`: a recogniser that hears nothing, so that only the audio's way is measured.

It takes every message of a stream and says once a second of audio that it is decided, as the real one does of silence.
"""

from typing import Any

import grpc
import uvloop

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceServicer, add_SpeechServiceServicer_to_server

_DECIDED_SAMPLES = 16_000

_Servicer: Any = SpeechServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Sink(_Servicer):  # type: ignore[misc]
    """Accepts and discards."""

    async def StreamingRecognize(self, request_iterator: Any, context: Any) -> None:
        opening = (await context.read()).open
        opened = pb.RecognizeOpened(engine="sink", model="none", start_sample=opening.start_sample)
        await context.write(pb.StreamingRecognizeResponse(opened=opened))
        position = decided = opening.start_sample
        while (request := await context.read()) is not grpc.aio.EOF:
            match request.WhichOneof("message"):
                case "audio":
                    position = request.audio.start_sample + len(request.audio.pcm) // 2
                case "silence":
                    position = request.silence.start_sample + request.silence.samples
                case "end":
                    finished = pb.RecognizeFinished(decided_sample=position)
                    await context.write(pb.StreamingRecognizeResponse(finished=finished))
                    return
            if position - decided >= _DECIDED_SAMPLES:
                decided = position
                cursor = pb.RecognizeCursor(decided_sample=decided)
                await context.write(pb.StreamingRecognizeResponse(cursor=cursor))


async def serve() -> None:
    """Serve on a free port, which is the first line on standard output, until killed."""
    server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])  # the rooms look whether we live
    add_SpeechServiceServicer_to_server(Sink(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
