// A place in a call's room. After a drop it comes back by itself, as the same participant.

import { key, socketAddress } from "/static/scripts/api.js";

const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 6_000;
const PING = 5_000;
const REPLACED = 4409;

/** Calls `on.joined(message)`, `on.peerJoined(peer)`, `on.peerUpdated(peer)`, `on.peerLeft(id)`, `on.signal(from, data)`,
 *  `on.chat(line)`, `on.refused(code)`, `on.lost()`. `recording()` says at each entry whether one may be recorded. */
export class Signalling {
  constructor(room, name, recording, on) {
    this.room = room;
    this.name = name;
    this.recording = recording;
    this.on = on;
    this.resume = "";
    this.pause = FIRST_PAUSE;
    this.over = false;
    this.#open();
  }

  send(type, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ v: 1, type, ...fields }));
  }

  leave() {
    this.over = true;
    this.send("leave");
    this.socket.close();
  }

  #open() {
    const socket = new WebSocket(socketAddress(`/v1/rooms/${encodeURIComponent(this.room)}/signal`));
    let joined = false;
    let refusal;
    let pings;
    let heard = Date.now();
    this.socket = socket;
    socket.onopen = () => {
      this.send("join", { room: this.room, name: this.name, role: "guest", token: key.get(), resume: this.resume, recording: this.recording() });
      pings = setInterval(() => {
        if (Date.now() - heard > 3 * PING) socket.close();
        else this.send("ping");
      }, PING);
    };
    socket.onmessage = (event) => {
      heard = Date.now();
      const message = JSON.parse(event.data);
      switch (message.type) {
        case "joined":
          joined = true;
          this.pause = FIRST_PAUSE;
          this.resume = message.resume ?? "";
          this.on.joined(message);
          break;
        case "peer-joined": this.on.peerJoined(message.peer); break;
        case "peer-updated": this.on.peerUpdated(message.peer); break;
        case "peer-left": this.on.peerLeft(message.id); break;
        case "signal": this.on.signal(message.from, message.data); break;
        case "chat": this.on.chat(message); break;
        case "error": if (!joined) refusal = message.code; break;
      }
    };
    socket.onclose = (event) => {
      clearInterval(pings);
      if (this.over) return;
      if (joined && event.code === REPLACED) refusal = "replaced";
      if (refusal && refusal !== "unavailable") {
        this.over = true;
        this.on.refused(refusal);
        return;
      }
      this.on.lost();
      setTimeout(() => this.over || this.#open(), this.pause * (0.5 + Math.random() / 2));
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
    };
  }
}
