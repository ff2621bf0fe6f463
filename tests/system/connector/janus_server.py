"""A Janus server of Debian's package on loopback ports of its own, with one VideoRoom; and people who publish there."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player, PlayerTrack
from examples.callers.speech import Speech
from services.connector.providers.janus_client import Handle, JanusGone, open_janus, plugin_data

ROOM = 1234
API_SECRET = "api-secret-of-the-tests"
ROOM_SECRET = "room-secret-of-the-tests"
PIN = "0815"
_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")
_PLUGIN = "libjanus_videoroom.so"
_TRANSPORTS = ("libjanus_http.so", "libjanus_websockets.so")
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class JanusServer:
    """Where the server listens; the same after a restart."""

    folder: Path
    socket_port: int
    http_port: int

    @property
    def socket_url(self) -> str:
        """API over a WebSocket."""
        return f"ws://127.0.0.1:{self.socket_port}"

    @property
    def http_url(self) -> str:
        """API over HTTP."""
        return f"http://127.0.0.1:{self.http_port}/janus"

    @property
    def proofs(self) -> dict[str, str]:
        """What proves a client."""
        return {"apisecret": API_SECRET}

    def configure(self, media_ports: range) -> None:
        """Write the configuration."""
        libraries = _LIBRARIES if _LIBRARIES.exists() else next(Path("/usr/lib").glob("*/janus"))
        off = {
            kind: ",".join(each.name for each in (libraries / kind).glob("*.so") if each.name not in kept)
            for kind, kept in (("plugins", (_PLUGIN,)), ("transports", _TRANSPORTS))
        }
        files = {
            "janus.jcfg": f"""
                general: {{
                  configs_folder = "{self.folder}", plugins_folder = "{libraries}/plugins"
                  transports_folder = "{libraries}/transports", debug_level = 4
                  api_secret = "{API_SECRET}", admin_secret = "unused"
                }}
                media: {{ rtp_port_range = "{media_ports.start}-{media_ports.stop}" }}
                nat: {{ full_trickle = false }}
                plugins: {{ disable = "{off["plugins"]}" }}
                transports: {{ disable = "{off["transports"]}" }}
            """,
            "janus.plugin.videoroom.jcfg": f"""
                room-{ROOM}: {{
                  description = "test", secret = "{ROOM_SECRET}", pin = "{PIN}", publishers = 12, audiocodec = "opus"
                  opus_fec = true, notify_joining = true
                }}
            """,
            "janus.transport.http.jcfg": f"""
                general: {{ json = "compact", base_path = "/janus", http = true, port = {self.http_port}
                            ip = "127.0.0.1", https = false }}
                admin: {{ admin_http = false }}
            """,
            "janus.transport.websockets.jcfg": f"""
                general: {{ json = "compact", ws = true, ws_port = {self.socket_port}
                            ws_ip = "127.0.0.1", wss = false }}
                admin: {{ admin_ws = false }}
            """,
        }
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the server for the block; it dies at once at the end, as in a crash."""
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                "janus", "-C", str(self.folder / "janus.jcfg"), "-F", str(self.folder), stdout=log, stderr=log
            )
        try:
            await self._answering(process)
            yield
        finally:
            if process.returncode is None:
                process.kill()
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()

    async def _answering(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                assert process.returncode is None, (self.folder / "log").read_text(errors="replace")[-2000:]
                try:
                    async with open_janus(self.socket_url, self.proofs), open_janus(self.http_url, self.proofs):
                        return
                except JanusGone:
                    await asyncio.sleep(0.1)


def make_janus(folder: Path, ports: tuple[int, int], media_ports: range) -> JanusServer:
    """Configure a server that is not running yet."""
    server = JanusServer(folder, *ports)
    server.configure(media_ports)
    return server


def installed() -> bool:
    """Whether the package is there."""
    return shutil.which("janus") is not None


class Publisher:
    """Somebody who publishes to the room; `player.start()` lets them speak."""

    def __init__(self, name: str, player: Player, handle: Handle, feed_id: int) -> None:
        self.name = name
        self.player = player
        self.feed_id = feed_id
        self._handle = handle

    async def request(self, name: str, **fields: Any) -> None:
        """Ask something of the room, as this person or with its secret."""
        await self._handle.message({"request": name, **fields})

    async def id_of(self, name: str) -> int:
        """Return the identifier of somebody in the room, publishing or not."""
        answer = await self._handle.message({"request": "listparticipants", "room": ROOM})
        return next(int(one["id"]) for one in plugin_data(answer)["participants"] if one.get("display") == name)

    async def leave(self) -> None:
        """Go."""
        await self.request("leave")


@asynccontextmanager
async def open_publisher(server: JanusServer, name: str, speech: Speech) -> AsyncIterator[Publisher]:
    """Publish to the room for the block; speaks when told to."""
    player = Player(speech)
    async with open_janus(server.socket_url, server.proofs) as session:
        handle = await session.attach("janus.plugin.videoroom")
        join = {"request": "join", "ptype": "publisher", "room": ROOM, "pin": PIN, "display": name}
        joined = plugin_data(await handle.message(join))
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        try:
            connection.addTransceiver(PlayerTrack(player), direction="sendonly")
            await connection.setLocalDescription(await connection.createOffer())
            offer = {"type": "offer", "sdp": connection.localDescription.sdp}
            answer = (await handle.message({"request": "publish"}, offer))["jsep"]
            await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
            yield Publisher(name, player, handle, int(joined["id"]))
        finally:
            await connection.close()
