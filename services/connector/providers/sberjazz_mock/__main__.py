"""`python -m services.connector.providers.sberjazz_mock`: the stand-in as a program."""

import argparse
from functools import partial

from kit.lifecycle import Shutdown, StartError, leave, run
from kit.settings import CoreSettings, load
from kit.telemetry import logs
from services.connector.providers.sberjazz_contract import Encoding
from services.connector.providers.sberjazz_mock.faults import OPERATIONS, Fault, FaultUnknown, read_fault
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, open_mock
from services.connector.providers.sberjazz_mock.voices import SampleUnreadable, read_voices

_EPILOG = f"""
A call begins when it is joined: every voice speaks from its first moment, in chunks.

  python -m services.connector.providers.sberjazz_mock --listen 127.0.0.1:8700 --sample Anna=anna.wav --sample b.flac
  export SBERJAZZ_API_BASE=http://127.0.0.1:8700 SBERJAZZ_API_TOKEN={DEFAULT_TOKEN}
  MEETING_CONNECTOR_PROVIDER=sberjazz agent up

Faults, with the option or while it runs:

  curl -H 'Authorization: Bearer {DEFAULT_TOKEN}' http://127.0.0.1:8700/mock/faults \\
    -d '{{"fault": "429", "times": 3, "operation": "live-pull", "retry_after_seconds": 2}}'
  curl -H 'Authorization: Bearer {DEFAULT_TOKEN}' -X DELETE http://127.0.0.1:8700/mock/faults
  curl -H 'Authorization: Bearer {DEFAULT_TOKEN}' -X POST http://127.0.0.1:8700/mock/meetings/MEETING/disconnect
  curl -H 'Authorization: Bearer {DEFAULT_TOKEN}' -X POST http://127.0.0.1:8700/mock/meetings/MEETING/end
  curl -H 'Authorization: Bearer {DEFAULT_TOKEN}' http://127.0.0.1:8700/mock

faults:      {", ".join(Fault)}
operations:  {", ".join(OPERATIONS)}
"""

log = logs.get()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.connector.providers.sberjazz_mock",
        description="A stand-in for SberJazz: a real HTTP server of the same contract (docs/providers/sberjazz.md).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", default="127.0.0.1:8700", help="host:port; port 0 takes a free one")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="what callers must send (%(default)s)")
    parser.add_argument(
        "--sample",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a voice: any sound file; may be repeated. Without one, two made up voices take turns",
    )
    parser.add_argument("--loop", action="store_true", help="speak the samples again and again")
    parser.add_argument("--chunk-ms", type=int, default=1000, metavar="MS", help="length of a chunk (%(default)s)")
    parser.add_argument("--encoding", choices=[Encoding.S16LE.value, Encoding.WAV.value], default=Encoding.S16LE.value)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT[:TIMES[:OPERATION]]",
        help="what goes wrong from the start",
    )
    return parser.parse_args()


async def main(asked: argparse.Namespace, shutdown: Shutdown) -> None:
    """Serve until the process is asked to stop."""
    (core,) = load(CoreSettings)
    if core.is_prod:
        raise StartError("a stand-in is not for APP_ENV=prod")
    try:
        voices = read_voices(asked.sample, loops=asked.loop)
        faults = [read_fault(text) for text in asked.fault]
    except (SampleUnreadable, FaultUnknown) as error:
        raise StartError(str(error)) from error
    async with open_mock(
        voices,
        listen=asked.listen,
        token=asked.token,
        chunk_seconds=max(100, asked.chunk_ms) / 1000,
        encoding=Encoding(asked.encoding),
        faults=faults,
    ) as (_, url):
        log.info("sberjazz_mock_listening", url=url, voices=len(voices))
        await shutdown.requested.wait()


if __name__ == "__main__":
    leave(run("sberjazz_mock", partial(main, arguments())))
