// One connection to one member of the call: perfect negotiation between people, we always offer to the recorder.

const CONNECT_MILLISECONDS = 12_000;

export class Peer {
  /** `send(data)` reaches the other side; `onStream(stream)` is told about its sound; to a `hushed` peer none is sent. */
  constructor(info, { iceServers, stream, send, onStream, hushed = false }) {
    this.info = info;
    this.hushed = hushed;
    this.iceServers = iceServers;
    this.stream = stream;
    this.send = send;
    this.onStream = onStream;
    this.#connect(info.initiator);
  }

  get state() {
    return this.connection.connectionState;
  }

  /** Take a description, a candidate or the wish to start again. */
  async take(data) {
    if (data.restart) return this.#restart(true);
    if (data.description) return this.#describe(data.description);
    try {
      await this.connection.addIceCandidate(data.candidate ?? undefined);
    } catch (error) {
      if (!this.ignoring) console.debug("candidate refused", error.name);
    }
    return undefined;
  }

  /** Send no sound to this peer, from this moment on, or send it again; others go on hearing us. */
  hush(hushed) {
    this.hushed = hushed;
    const [track] = this.stream?.getAudioTracks() ?? [];
    const sender = this.connection.getTransceivers().find((one) => one.direction.startsWith("send") && one.receiver.track.kind === "audio")?.sender;
    return sender?.replaceTrack(hushed ? null : track ?? null).catch((error) => console.debug("not switched", error.name));
  }

  close() {
    clearTimeout(this.patience);
    this.connection.onconnectionstatechange = null;
    this.connection.close();
  }

  #connect(offering) {
    const connection = new RTCPeerConnection({ iceServers: this.iceServers, bundlePolicy: "max-bundle" });
    this.connection = connection;
    this.making = false;
    this.ignoring = false;
    connection.onicecandidate = ({ candidate }) => this.send({ candidate: candidate?.toJSON() ?? null });
    connection.ontrack = ({ track, streams }) => this.onStream(streams[0] ?? new MediaStream([track]));
    connection.onconnectionstatechange = () => this.#changed(connection);
    connection.onnegotiationneeded = () => this.#offer(connection);
    if (offering) this.#addSound();
    this.#expect();
  }

  #addSound() {
    const [track] = this.stream?.getAudioTracks() ?? [];
    // A hushed line is there and silent, so that sound can come back without an offer.
    if (track && this.hushed) this.connection.addTransceiver("audio", { direction: "sendrecv", streams: [this.stream] });
    else if (track) this.connection.addTrack(track, this.stream);
    else this.connection.addTransceiver("audio", { direction: "recvonly" });
  }

  async #offer(connection) {
    try {
      this.making = true;
      await connection.setLocalDescription();
      if (connection === this.connection) this.send({ description: connection.localDescription.toJSON() });
    } catch (error) {
      console.debug("no offer", error.name);
    } finally {
      this.making = false;
    }
  }

  async #describe(description) {
    const { connection } = this;
    const collision = description.type === "offer" && (this.making || connection.signalingState !== "stable");
    this.ignoring = !this.info.polite && collision;
    if (this.ignoring) return;
    await connection.setRemoteDescription(description);
    if (description.type !== "offer") return;
    // Answering with our sound, not with an offer of our own: the transceiver is there already.
    const [track] = this.stream?.getAudioTracks() ?? [];
    if (track && !connection.getSenders().some((sender) => sender.track)) connection.addTrack(track, this.stream);
    await connection.setLocalDescription();
    this.send({ description: connection.localDescription.toJSON() });
  }

  #changed(connection) {
    if (connection !== this.connection) return;
    if (connection.connectionState === "connected") clearTimeout(this.patience);
    else if (connection.connectionState === "failed") this.#lost();
    else if (connection.connectionState === "disconnected") this.#expect();
  }

  /** Give the connection a while; then start again. */
  #expect() {
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.#lost(), CONNECT_MILLISECONDS);
  }

  #lost() {
    if (this.info.role === "recorder") this.#restart(true);
    else {
      this.#restart(false);
      this.send({ restart: true });
    }
  }

  #restart(offering) {
    this.close();
    this.#connect(offering);
  }
}
