// A meeting's live events over the WebSocket. After a drop it goes on from its cursor, so no line is missed or doubled.

import { key, socketAddress } from "/static/scripts/api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8_000;
const ENDED_PAUSE = 5_000;
const SILENCE = 20_000; // the room says at least a heartbeat every 5 s
const FATAL = new Set([4400, 4401, 4403, 4404]);

/** Calls `on[type](payload)` for every event; `on.begun()` precedes all that holds now, `on.lost()` and `on.found()` say how the connection is, `on.refused(problem)` ends it. */
export class MeetingWatch {
  constructor(meetingId, on, { interim = true } = {}) {
    this.meetingId = meetingId;
    this.on = on;
    this.interim = interim;
    this.cursor = 0;
    this.pause = FIRST_PAUSE;
    this.closed = false;
    this.open();
  }

  open() {
    const socket = new WebSocket(socketAddress("/v1/ws"));
    let problem;
    let alive = setTimeout(() => socket.close(), SILENCE);
    socket.onopen = () => {
      const wish = { type: "watch", meeting_id: this.meetingId, after: this.cursor, interim: this.interim };
      socket.send(JSON.stringify(key.get() ? { ...wish, api_key: key.get() } : wish));
      this.on.begun?.();
    };
    socket.onmessage = (event) => {
      clearTimeout(alive);
      alive = setTimeout(() => socket.close(), SILENCE);
      const message = JSON.parse(event.data);
      if (message.type === "error") {
        problem = message.problem;
        return;
      }
      if (this.pause !== FIRST_PAUSE) this.on.found?.();
      this.pause = FIRST_PAUSE;
      if (message.cursor > this.cursor) this.cursor = message.cursor;
      // Nothing more will come once the report is there: the room ends the stream and so do we.
      if (message.meeting) this.settled = ["ready", "failed"].includes(message.meeting.report_state);
      this.on[message.type]?.(message[message.type]);
    };
    socket.onclose = (event) => {
      clearTimeout(alive);
      if (this.closed) return;
      if (FATAL.has(event.code)) {
        this.on.refused?.({ status: event.code - 4000, detail: problem?.detail ?? event.reason });
        return;
      }
      if (event.code === 1000) {
        if (!this.settled) setTimeout(() => this.closed || this.open(), ENDED_PAUSE);
        return;
      }
      this.on.lost?.();
      setTimeout(() => this.closed || this.open(), this.pause * (0.5 + Math.random() / 2));
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
    };
    this.socket = socket;
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
