// The call page: lobby, call, live text, and what comes after.
//
// Programs read how things stand from `window.agentRoom` or from <body data-state data-joined data-peers data-connected
// data-recorder-visible data-recorded data-lines data-finals data-interims data-insights data-report-ready
// data-warnings>.

import { get, post } from "/static/scripts/api.js";
import { explain, showBar } from "/static/scripts/bar.js";
import { Chat } from "/static/scripts/chat.js";
import { Banner, recorderProblem, withdrawn } from "/static/scripts/consent.js";
import { at, h, icon, say } from "/static/scripts/dom.js";
import { t, translate } from "/static/scripts/i18n.js";
import { Insights } from "/static/scripts/insights.js";
import { Meter, listMicrophones, openMicrophone, wakeSound } from "/static/scripts/microphone.js";
import { Peer } from "/static/scripts/peer.js";
import { tone } from "/static/scripts/people.js";
import { Roster } from "/static/scripts/roster.js";
import { Signalling } from "/static/scripts/signalling.js";
import { clock } from "/static/scripts/time.js";
import { Interims, Transcript } from "/static/scripts/transcript.js";
import { Warnings } from "/static/scripts/warnings.js";
import { MeetingWatch } from "/static/scripts/watch.js";

const NAME = "agent.name";
const meetingId = decodeURIComponent(location.pathname.split("/")[2]);
const over = new Set(["finished", "finishing", "failed"]);

const call = { stream: null, preview: null, signalling: null, peers: new Map(), selfId: "", muted: false, recorded: true, notice: "", aloneSince: 0, startedAt: 0, meeting: null };
const transcript = new Transcript(at("transcript"));
const interims = new Interims(at("interims"));
const roster = new Roster(at("people"));
const warnings = new Warnings(at("warnings"), { isSelf: (id) => id === call.selfId });
const chat = new Chat({
  list: at("chat"),
  scroll: at("chat-scroll"),
  form: at("chat-form"),
  badge: at("chat-badge"),
  send: (text) => call.signalling?.send("chat", { text }),
  seen: () => at("panel-chat").offsetParent !== null,
});
const banner = new Banner(at("banner"), () => ({
  live: room.state === "live",
  recorder: roster.recorder,
  recording: call.recorded,
  notice: call.notice,
  problem: recorderProblem.get(meetingId),
  since: call.aloneSince,
}));
const reading = { following: true, top: 0 };
let insights;

const start = { state: "lobby", joined: false, peers: 0, connected: 0, recorderVisible: false, recorded: true, lines: 0, finals: 0, interims: 0, insights: 0, reportReady: false };
const room = new Proxy({}, {
  set(facts, name, value) {
    facts[name] = value;
    document.body.dataset[name] = String(value);
    return true;
  },
});
Object.assign(room, start);
window.agentRoom = room;

function count() {
  room.peers = call.peers.size;
  room.connected = [...call.peers.values()].filter((peer) => peer.state === "connected").length;
  if (roster.recorderVisible) recorderProblem.clear(meetingId);
  else if (room.recorderVisible) call.aloneSince = Date.now();
  room.recorderVisible = roster.recorderVisible;
  showRecording();
  banner.draw();
}

translate();
showBar();
insights = new Insights(at("insights"));
at("name").value = localStorage.getItem(NAME) ?? "";
at("unrecorded").checked = withdrawn.get(meetingId);
at("chat-send").append(icon("send"), h("span", { class: "visually-hidden" }, t("room.chat.send")));
at("chat-text").placeholder = t("room.chat.write");
at("join").addEventListener("submit", join);
at("mute").addEventListener("click", () => mute(!call.muted));
at("record").addEventListener("click", () => consent(!call.recorded));
at("leave").addEventListener("click", leave);
at("finish").addEventListener("click", () => at("confirm-finish").showModal());
at("confirm-finish").addEventListener("close", (event) => event.target.returnValue === "yes" && finish());
at("device").addEventListener("change", () => preview(at("device").value));
at("tabs").addEventListener("click", (event) => showTab(event.target.closest("[data-tab]")?.dataset.tab));
at("tabs").addEventListener("keydown", stepTabs);
at("scroll").addEventListener("scroll", scrolled);
at("to-end").addEventListener("click", toEnd);
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.key.toLowerCase() === "m" && room.state === "live" && !typing && !event.ctrlKey && !event.metaKey) mute(!call.muted);
});
addEventListener("pagehide", () => call.signalling?.leave());
showControls();
setInterval(tick, 500);
requestAnimationFrame(draw);
arrive();

async function arrive() {
  try {
    call.meeting = await get(`/v1/meetings/${encodeURIComponent(meetingId)}`);
  } catch (problem) {
    const known = problem.reason === "ERROR_REASON_MEETING_NOT_FOUND" ? t("refused.meeting-not-found") : explain(problem);
    say(at("join-problem"), known);
    at("join-button").disabled = problem.status !== 0;
    return;
  }
  showTitle();
  if (over.has(call.meeting.state)) {
    location.replace(`/meetings/${encodeURIComponent(meetingId)}`);
    return;
  }
  await preview("");
}

// ---- lobby

async function preview(deviceId) {
  closePreview();
  const stream = await openMicrophone(deviceId);
  call.stream = stream;
  const microphones = await listMicrophones();
  if (!stream) {
    at("device").replaceChildren(h("option", { value: "" }, t("room.microphone.none")));
    at("microphone-hint").textContent = t("room.microphone.denied");
    return;
  }
  const current = stream.getAudioTracks()[0]?.getSettings().deviceId;
  at("device").replaceChildren(...microphones.map((one) =>
    h("option", { value: one.deviceId, selected: one.deviceId === current }, one.label || t("room.microphone.default"))));
  if (!microphones.length) at("device").replaceChildren(h("option", { value: "" }, t("room.microphone.default")));
  at("microphone-hint").textContent = t("room.microphone.speak");
  call.preview = new Meter(stream);
}

function closePreview() {
  call.preview?.close();
  call.preview = null;
  call.stream?.getTracks().forEach((track) => track.stop());
  call.stream = null;
}

function join(event) {
  event?.preventDefault();
  const name = at("name").value.trim();
  if (!name) return;
  localStorage.setItem(NAME, name);
  wakeSound();
  say(at("join-problem"));
  at("join-button").disabled = true;
  at("join-button").textContent = t("room.joining");
  room.state = "joining";
  withdrawn.set(meetingId, at("unrecorded").checked);
  call.signalling = new Signalling(meetingId, name, () => !withdrawn.get(meetingId), {
    joined: entered,
    peerJoined: meet,
    peerUpdated: updated,
    peerLeft: part,
    signal: (from, data) => call.peers.get(from)?.take(data),
    chat: wrote,
    refused,
    lost: () => room.joined && say(at("notice"), t("room.reconnecting")),
  });
}

function refused(code) {
  const known = ["meeting-not-found", "meeting-finished", "unauthenticated", "forbidden", "room-full", "unavailable", "replaced"];
  const sentence = t(`refused.${known.includes(code) ? code : "other"}`);
  for (const id of [...call.peers.keys()]) part(id);
  if (code === "unauthenticated") explain({ status: 401, message: sentence });
  if (room.joined) {
    room.joined = false;
    room.state = "left";
    showEnd(sentence);
    return;
  }
  room.state = "lobby";
  say(at("join-problem"), sentence);
  at("join-button").disabled = false;
  at("join-button").textContent = t("room.join");
}

// ---- call

function entered(message) {
  const again = room.joined;
  for (const id of [...call.peers.keys()]) part(id);
  call.selfId = message.self.id;
  call.iceServers = message.iceServers;
  room.joined = true;
  room.state = "live";
  say(at("notice"));
  at("ended").hidden = true;
  at("lobby").hidden = true;
  at("call").hidden = false;
  call.aloneSince = Date.now();
  [message.self, ...message.peers].forEach((one) => chat.know(one));
  record(message.self.recording !== false);
  // Tones are given in order of appearance: let everybody's page give them in the same order.
  const people = [message.self, ...message.peers].filter((one) => one.role !== "recorder");
  people.sort((one, other) => one.joinedAt - other.joinedAt).forEach((one) => tone(one.id));
  roster.show(message.self, { self: true });
  if (call.stream) roster.listen(call.selfId, new Meter(call.stream));
  message.peers.forEach(meet);
  if (call.muted) call.signalling.send("mute", { muted: true });
  if (!again && !call.watch) watch();
  count();
}

function meet(info) {
  call.peers.get(info.id)?.close();
  chat.know(info);
  roster.show(info);
  // A program that listens through the page learns from the element whose voice it plays.
  const sound = h("audio", { autoplay: true, data: { participantId: info.id, participantName: info.name } });
  at("speakers").append(sound);
  const peer = new Peer(info, {
    iceServers: call.iceServers,
    stream: call.stream,
    hushed: info.role === "recorder" && !call.recorded,
    send: (data) => call.signalling.send("signal", { to: info.id, data }),
    onStream: (stream) => {
      sound.srcObject = stream;
      sound.play().catch(() => {});
      roster.listen(info.id, new Meter(stream));
    },
  });
  peer.sound = sound;
  call.peers.set(info.id, peer);
  count();
}

function part(id) {
  const peer = call.peers.get(id);
  peer?.close();
  peer?.sound.remove();
  call.peers.delete(id);
  roster.leave(id);
  count();
}

function updated(peer) {
  const self = peer.id === call.selfId;
  chat.know(peer);
  roster.show(peer, { self });
  if (!self) return;
  if (peer.muted !== call.muted) apply(peer.muted);
  record(peer.recording !== false);
}

/** Withdraw from the recording at this very moment, or ask to be recorded again. */
function consent(recording) {
  withdrawn.set(meetingId, !recording);
  if (!recording) record(false);
  call.signalling?.send("consent", { recording });
}

/** Let the recorder hear us, or not; the others hear us all the same. */
function record(recording) {
  call.recorded = recording;
  room.recorded = recording;
  withdrawn.set(meetingId, !recording);
  for (const peer of call.peers.values()) if (peer.info.role === "recorder" && peer.hushed === recording) peer.hush(!recording);
  showControls();
  banner.draw();
}

function wrote(line) {
  if (chat.author(line.from).role === "recorder") call.notice = line.text;
  chat.add(line);
  room.lines = chat.size;
  banner.draw();
}

function mute(muted) {
  apply(muted);
  call.signalling?.send("mute", { muted });
}

function apply(muted) {
  call.muted = muted;
  call.stream?.getAudioTracks().forEach((track) => { track.enabled = !muted; });
  showControls();
}

function hangUp() {
  call.signalling?.leave();
  for (const id of [...call.peers.keys()]) part(id);
  if (call.selfId) roster.leave(call.selfId);
  closePreview();
  room.joined = false;
}

function leave() {
  hangUp();
  room.state = "left";
  showEnd(t("room.left_call"), h("button", { class: "button primary small", type: "button", onclick: () => location.reload() }, t("room.rejoin")));
}

async function finish() {
  at("finish").disabled = true;
  try {
    const { meeting } = await post(`/v1/meetings/${encodeURIComponent(meetingId)}/finish`);
    told(meeting);
  } catch (problem) {
    say(at("notice"), explain(problem));
    at("finish").disabled = false;
  }
}

// ---- what is said

function watch() {
  call.watch = new MeetingWatch(meetingId, {
    begun: () => warnings.clear(),
    meeting: told,
    participant: (participant) => warnings.know(participant),
    warning: (warning) => warnings.show(warning),
    segment: (segment) => {
      interims.drop(segment.participant_id);
      if (!transcript.add(segment)) return;
      room.finals = transcript.size;
      at("silence").hidden = true;
      count();
      follow();
    },
    interim: (interim) => {
      room.interims += 1;
      at("silence").hidden = true;
      interims.show(interim);
      follow();
    },
    insight: (insight) => { room.insights += 1; insights.show(insight); },
    coverage: (coverage) => roster.account(coverage.participants),
    refused: (problem) => say(at("notice"), problem.detail),
    lost: () => room.state === "live" && say(at("notice"), t("room.reconnecting")),
    found: () => say(at("notice")),
  });
}

function told(meeting) {
  call.meeting = meeting;
  showTitle();
  room.reportReady = meeting.report_state === "ready";
  if (!over.has(meeting.state)) return;
  if (room.state !== "finished") {
    hangUp();
    interims.clear();
    warnings.clear();
    room.state = "finished";
  }
  const open = h("a", { class: "button primary small", href: `/meetings/${encodeURIComponent(meetingId)}`, id: "open-report" }, t("room.report"));
  if (room.reportReady) showEnd(t("room.ready"), open);
  else if (meeting.report_state === "failed") showEnd(t("room.report_failed"), open);
  else showEnd(t("room.settling"), open);
  showRecording();
}

// ---- what is shown

function showTitle() {
  const title = call.meeting.title || t("list.untitled");
  at("lobby-title").textContent = title;
  at("title").textContent = title;
  document.title = title;
  if (call.meeting.start_time && !call.startedAt) call.startedAt = Date.parse(call.meeting.start_time);
}

function showEnd(sentence, ...actions) {
  at("ended").replaceChildren(h("p", { role: "status" }, sentence), ...actions);
  at("ended").hidden = false;
  showTab("words");
  at("to-end").hidden = true;
  at("scroll").scrollTop = 0;
}

function showRecording() {
  const [look, word] = room.state === "finished" ? ["good", "room.over"] : room.recorderVisible ? ["live", "room.recording"] : ["", "room.waiting"];
  at("recording").className = `pill ${look}`;
  at("recording").replaceChildren(look === "live" ? h("span", { class: "rec-dot" }) : "", t(word));
}

function showControls() {
  at("mute").replaceChildren(icon(call.muted ? "muted" : "microphone"), h("span", {}, t(call.muted ? "room.unmute" : "room.mute")));
  at("mute").setAttribute("aria-pressed", String(call.muted));
  at("record").replaceChildren(icon(call.recorded ? "unrecorded" : "record"), h("span", {}, t(call.recorded ? "room.unrecord" : "room.record")));
  at("record").setAttribute("aria-pressed", String(!call.recorded));
  at("record").title = t(call.recorded ? "room.unrecord.hint" : "room.record.hint");
  at("leave").replaceChildren(icon("leave"), h("span", {}, t("room.leave")));
  at("finish").replaceChildren(icon("finish"), h("span", {}, t("room.finish")));
}

function showTab(name) {
  if (!name) return;
  document.querySelector(".panels").dataset.tab = name;
  for (const tab of at("tabs").children) tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
  if (name === "chat") chat.open();
}

function stepTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...at("tabs").children];
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  next.focus();
  showTab(next.dataset.tab);
}

/** Reading further up stops the text from running away; coming back to the end lets it run again. */
function scrolled() {
  const { scrollTop, scrollHeight, clientHeight } = at("scroll");
  const end = scrollHeight - scrollTop - clientHeight < 60;
  if (end) {
    reading.following = true;
    at("to-end").hidden = true;
  } else if (scrollTop < reading.top) {
    reading.following = false;
  }
  reading.top = scrollTop;
}

function toEnd() {
  reading.following = true;
  at("scroll").scrollTop = at("scroll").scrollHeight;
  at("to-end").hidden = true;
}

/** Stay at the newest line for those who read there; others are told that there is more. */
function follow() {
  if (reading.following) toEnd();
  else if (room.state === "live") at("to-end").hidden = false;
}

function tick() {
  banner.draw();
  room.connected = [...call.peers.values()].filter((peer) => peer.state === "connected").length;
  const length = call.meeting?.duration_ms;
  if (room.state === "finished" && length) at("clock").textContent = clock(length);
  else if (call.startedAt && room.state === "live") at("clock").textContent = clock(Date.now() - call.startedAt);
}

function draw() {
  if (call.preview && room.state === "lobby") at("preview").style.setProperty("--level", call.preview.level().toFixed(3));
  roster.draw();
  requestAnimationFrame(draw);
}
