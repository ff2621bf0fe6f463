"""A web meeting of somebody else: one page that asks for a name, and in which two tones are heard over WebRTC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PAGE = """<!doctype html><title>Somebody's meeting</title>
<label>Your name <input id="display-name" type="text" placeholder="Your name"></label>
<button id="go">Join now</button>
<p id="roster"></p>
<script>
const ATTRIBUTES = __ATTRIBUTES__;
const links = [];
async function speak(frequency, attributes) {
  const sound = new AudioContext();
  const tone = new OscillatorNode(sound, { frequency });
  const out = sound.createMediaStreamDestination();
  tone.connect(new GainNode(sound, { gain: 0.3 })).connect(out);
  tone.start();
  const [there, here] = [new RTCPeerConnection(), new RTCPeerConnection()];
  there.onicecandidate = ({ candidate }) => here.addIceCandidate(candidate ?? undefined);
  here.onicecandidate = ({ candidate }) => there.addIceCandidate(candidate ?? undefined);
  here.ontrack = ({ track }) => {
    const player = document.createElement("audio");
    player.autoplay = true;
    for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
    player.srcObject = new MediaStream([track]);
    document.body.append(player);
    links.push({ here, there, player });
  };
  there.addTrack(out.stream.getAudioTracks()[0]);
  await there.setLocalDescription();
  await here.setRemoteDescription(there.localDescription);
  await here.setLocalDescription();
  await there.setRemoteDescription(here.localDescription);
}
document.querySelector("#go").onclick = async ({ target }) => {
  const name = document.querySelector("#display-name").value;
  if (!name) return;
  await navigator.mediaDevices.getUserMedia({ audio: true });
  document.querySelector("#roster").textContent = name;
  fetch("/joined?" + encodeURIComponent(name));
  target.disabled = true;
  let number = 0;
  for (const frequency of [440, 1000]) await speak(frequency, ATTRIBUTES[number++] ?? {});
};
const news = new EventSource("/orders");
news.onmessage = ({ data }) => {
  if (data === "leave") for (const { here, there } of links.splice(0)) { here.close(); there.close(); }
  if (data === "first-leaves") { links[0].there.close(); links[0].here.close(); }
};
</script>
"""


class MeetingPage:
    """A site that shows the page; `joined` has the names under which somebody joined."""

    def __init__(self, attributes: str) -> None:
        self.url = ""
        self.joined: list[str] = []
        self._attributes = attributes
        self._listening: set[asyncio.StreamWriter] = set()

    def order(self, what: str) -> None:
        """Make every open page do something: "leave" or "first-leaves"."""
        for writer in self._listening:
            writer.write(f"data: {what}\n\n".encode())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        try:
            target = (await reader.readline()).decode().split()[1]
            while (await reader.readline()).strip():
                pass
            if target == "/orders":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                self._listening.add(writer)
                await reader.read()
                self._listening.discard(writer)
            elif target.startswith("/joined?"):
                self.joined.append(target.partition("?")[2])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                body = _PAGE.replace("__ATTRIBUTES__", self._attributes).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, IndexError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving_page(attributes: str = "[]") -> AsyncIterator[MeetingPage]:
    """Serve the page for the block; `attributes` are those of the two players, as JSON."""
    page = MeetingPage(attributes)
    server = await asyncio.start_server(page.answer, "127.0.0.1", 0)
    page.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield page
    finally:
        server.close()
