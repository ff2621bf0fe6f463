// Runs in every frame of a meeting's page before its own scripts: each audio track that the page receives is sent on to
// the connector over a connection of its own. Offers and news go out through a function that only this script can reach.
//
// Out: {type: "offer", id, sdp, speaker}  answered with an SDP, or null    {type: "ended", id}
//      {type: "speaker", id, speaker}     speaker: {id, name} or null      {type: "calls", frame, open, connected}
(({ binding, speakerName, speakerId }) => {
  const tell = window[binding];
  delete window[binding];
  const Connection = window.RTCPeerConnection;
  if (!tell || !Connection) return;

  const LOOK_MILLISECONDS = 400;
  const NEWS_MILLISECONDS = 2_000;
  const GATHER_MILLISECONDS = 3_000;
  const AGAIN_MILLISECONDS = 2_000;
  const frame = Math.random().toString(36).slice(2);
  const connections = new Set();
  const forwards = new Map();
  let told = { at: 0, calls: "" };
  let count = 0;
  let silence = null;

  const say = (message) => tell(message).catch(() => null);

  class Watched extends Connection {
    constructor(...wishes) {
      super(...wishes);
      connections.add(this);
      this.addEventListener("track", look);
      this.addEventListener("connectionstatechange", look);
    }
  }
  Object.defineProperty(Watched, "name", { value: "RTCPeerConnection" });
  window.RTCPeerConnection = Watched;
  if (window.webkitRTCPeerConnection) window.webkitRTCPeerConnection = Watched;

  // The recorder has no voice: the page gets a microphone that is silent, and no camera.
  const devices = navigator.mediaDevices;
  if (devices?.getUserMedia) {
    devices.getUserMedia = async (wishes = {}) => {
      if (!wishes.audio) throw new DOMException("there is no camera", "NotFoundError");
      silence ??= new AudioContext();
      return silence.createMediaStreamDestination().stream;
    };
  }

  function received() {
    const tracks = new Set();
    for (const connection of connections) {
      if (connection.signalingState === "closed") {
        connections.delete(connection);
        continue;
      }
      for (const { currentDirection, receiver } of connection.getTransceivers()) {
        const { track } = receiver;
        const comes = currentDirection === "sendrecv" || currentDirection === "recvonly";
        if (comes && track.kind === "audio" && track.readyState === "live") tracks.add(track);
      }
    }
    return tracks;
  }

  function look() {
    const tracks = received();
    for (const track of tracks) if (!forwards.has(track)) begin(track);
    for (const [track, forward] of forwards) {
      if (!tracks.has(track)) end(track, forward);
      else follow(track, forward);
    }
    const states = [...connections].map((connection) => connection.connectionState);
    const calls = { open: states.length, connected: states.filter((state) => state === "connected").length };
    const now = performance.now();
    if (told.calls === JSON.stringify(calls) && now - told.at < NEWS_MILLISECONDS) return;
    told = { at: now, calls: JSON.stringify(calls) };
    say({ type: "calls", frame, ...calls });
  }

  function begin(track) {
    const forward = { id: `${frame}-${++count}`, sound: new Audio(), speaker: speakerOf(track), connection: null, at: 0 };
    forwards.set(track, forward);
    // Chromium decodes a track only while something plays it; nobody listens here, so it plays unheard.
    forward.sound.muted = true;
    forward.sound.srcObject = new MediaStream([track]);
    forward.sound.play().catch(() => {});
    offer(track, forward);
  }

  async function offer(track, forward) {
    const connection = new Connection({ iceServers: [] });
    forward.connection?.close();
    forward.connection = connection;
    forward.at = performance.now();
    connection.addTransceiver(track, { direction: "sendonly" });
    await connection.setLocalDescription();
    await gathered(connection);
    if (forward.connection !== connection) return;
    const sdp = await say({ type: "offer", id: forward.id, sdp: connection.localDescription.sdp, speaker: forward.speaker });
    if (forward.connection !== connection) return;
    if (sdp) await connection.setRemoteDescription({ type: "answer", sdp });
    else connection.close();
  }

  function gathered(connection) {
    return new Promise((done) => {
      const check = () => connection.iceGatheringState === "complete" && done();
      connection.addEventListener("icegatheringstatechange", check);
      setTimeout(done, GATHER_MILLISECONDS);
      check();
    });
  }

  function follow(track, forward) {
    const speaker = speakerOf(track);
    if (JSON.stringify(speaker) !== JSON.stringify(forward.speaker)) {
      forward.speaker = speaker;
      say({ type: "speaker", id: forward.id, speaker });
    }
    const gone = ["failed", "closed"].includes(forward.connection.connectionState);
    if (gone && performance.now() - forward.at > AGAIN_MILLISECONDS) offer(track, forward).catch(() => {});
  }

  function end(track, forward) {
    forwards.delete(track);
    forward.connection?.close();
    forward.connection = null;
    forward.sound.srcObject = null;
    say({ type: "ended", id: forward.id });
  }

  // Who speaks on a track, where the page says so beside the element that plays it.
  function speakerOf(track) {
    if (!speakerName) return null;
    for (const media of document.querySelectorAll("audio, video")) {
      if (!media.srcObject?.getAudioTracks?.().some((one) => one.id === track.id)) continue;
      const place = media.closest(`[${speakerName}]`);
      const name = place?.getAttribute(speakerName)?.trim();
      if (name) return { id: place.getAttribute(speakerId) ?? "", name };
    }
    return null;
  }

  setInterval(look, LOOK_MILLISECONDS);
})
