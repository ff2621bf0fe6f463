// Where the sound of a recording comes from. An <audio> element asks for its parts by itself but cannot show a key, so a
// worker of ours shows it; a browser without one fetches the recording whole.

import { call, key } from "/static/scripts/api.js";

const WORKER = "/static/scripts/recording_worker.js";
const PATIENCE = 3_000;

/** Return the path of a meeting's recording in a format that this browser plays. */
export function recordingPath(meetingPath) {
  const opus = document.createElement("audio").canPlayType("audio/ogg; codecs=opus");
  return `${meetingPath}/audio?format=${opus ? "opus" : "mp3"}`;
}

/** Return an address for an <audio> element. Throws a Problem. */
export async function playable(path) {
  if (!key.get() || (await workerReady())) return path;
  return URL.createObjectURL(await (await call(path)).blob());
}

async function workerReady() {
  const workers = navigator.serviceWorker;
  if (!workers) return false; // over plain HTTP from another machine
  workers.onmessage = (event) => event.data === "key" && event.ports[0].postMessage(key.get());
  try {
    await workers.register(WORKER, { scope: "/meetings/" });
  } catch {
    return false;
  }
  if (workers.controller) return true;
  return new Promise((done) => {
    workers.addEventListener("controllerchange", () => done(true), { once: true });
    setTimeout(() => done(Boolean(workers.controller)), PATIENCE); // a page that was reloaded past every cache has none
  });
}
