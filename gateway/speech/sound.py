"""The sound of an uploaded file, decoded by a child process as it is read."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO

from gateway.speech.decode import UNREADABLE
from kit.errors import InvalidArgument
from kit.telemetry import logs

PIECE_BYTES = 64 * 1024
"""Two seconds of sound."""

_KILL_SECONDS = 5.0
_MAX_SAID_BYTES = 500

log = logs.get()


class AudioUndecodable(InvalidArgument):
    """The file holds no sound that can be decoded."""

    reason = "ERROR_REASON_AUDIO_UNDECODABLE"


class Sound:
    """What a child process decodes; `seconds` counts what was read so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seconds = 0.0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield samples, s16le mono at 16 kHz.

        Raises:
            AudioUndecodable: the file is broken, of no known kind, or too much for the bounds of the child.
        """
        output, errors = self._process.stdout, self._process.stderr
        assert output is not None
        assert errors is not None
        while True:
            try:
                piece = await output.readexactly(PIECE_BYTES)
            except asyncio.IncompleteReadError as last:
                piece = last.partial[: len(last.partial) // 2 * 2]
            if not piece:
                break
            self.seconds += len(piece) / 32_000
            yield piece
        said = (await errors.read(_MAX_SAID_BYTES)).decode(errors="replace").partition("\n")[0]
        status = await self._process.wait()
        if status == UNREADABLE:
            raise AudioUndecodable(said or "the file cannot be read", field="file")
        if status != 0:
            log.warning("speech_decoder_died", status=status)
            raise AudioUndecodable("the file is more than can be decoded", field="file")


@asynccontextmanager
async def open_sound(content: bytes) -> AsyncIterator[Sound]:
    """Decode a file for the block; the child ends with it."""
    with await asyncio.to_thread(_stored, content) as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.speech.decode",
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},  # it needs none of our secrets
        )
        try:
            yield Sound(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(_KILL_SECONDS):
                    await process.communicate()


def _stored(content: bytes) -> IO[bytes]:
    """Return the file without a name that holds the upload: containers with their index at the end need to seek."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        file.write(content)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
