"""A small HTTP server in a thread, for fakes that answer GET requests."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Answer = Callable[[str, Mapping[str, str]], tuple[int, bytes] | None]
"""From path and headers to status and body; None hangs up without an answer."""


@contextmanager
def running_web_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve for the block; gives the address, `http://127.0.0.1:port` or, with `tls`, `https://127.0.0.1:port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answered = answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            self.close_connection = True
            if answered is None:
                return
            status, body = answered
            try:
                self.send_response(status)
                self.send_header("connection", "close")
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                return  # the client did not wait

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            return

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            return  # a client that does not trust us hangs up

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
