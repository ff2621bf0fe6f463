"""The certificate that browsers see: one TLS context, filled again when the files have changed."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from kit.lifecycle import StartError
from kit.telemetry import logs

_LOOK_SECONDS = 5.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class HttpCertificate:
    """The files of the certificate and of its key."""

    cert_file: Path
    key_file: Path

    def context(self) -> ssl.SSLContext:
        """Return a server's context with what stands in the files.

        Raises:
            StartError: they cannot be read, or are not a certificate and its key.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._fill(context)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            reason = getattr(error, "strerror", None) or error
            raise StartError(
                f"GATEWAY_TLS_CERT_FILE: cannot use {self.cert_file} with the key {self.key_file} ({reason})"
            ) from error
        return context

    async def keep_fresh(self, context: ssl.SSLContext) -> None:
        """Fill `context` again whenever the files have changed; connections that are open keep what they have."""
        known = self._stamp()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            stamp = await asyncio.to_thread(self._stamp)
            if stamp == known:
                continue
            known = stamp
            try:
                # Tried on another first: half of a new pair would spoil the context that serves.
                await asyncio.to_thread(self._fill, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
                self._fill(context)
            except (OSError, ValueError) as error:
                log.warning("https_files_unusable", reason=str(error))
            else:
                log.info("https_files_renewed")

    def _fill(self, context: ssl.SSLContext) -> None:
        # A key with a password must not ask the terminal for it.
        context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in (self.cert_file, self.key_file):
            try:
                stat = path.stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((stat.st_mtime_ns, stat.st_ino))
        return tuple(found)
