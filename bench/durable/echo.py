"""`python -m bench.durable.echo`: the floor. A bare `grpc.aio` server that sends every message back as it came."""

from typing import Any

import grpc
import uvloop

METHOD = "/bench.Echo/Stream"


async def _echo(requests: Any, context: Any) -> None:
    while (message := await context.read()) is not grpc.aio.EOF:
        await context.write(message)


async def serve() -> None:
    """Serve on a free port, which is the first line on standard output, until killed."""
    server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])  # the rooms look whether we live
    handler: Any = grpc.stream_stream_rpc_method_handler(_echo)  # bytes in, bytes out
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Echo", {"Stream": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
