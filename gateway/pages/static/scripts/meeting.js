// A meeting: while it goes on, who speaks and what is said; afterwards the report, the sound with its words, the account
// of every second, the files.

import { get, post } from "/static/scripts/api.js";
import { explain, showBar } from "/static/scripts/bar.js";
import { accounted, timeline } from "/static/scripts/coverage.js";
import { Deliveries } from "/static/scripts/deliveries.js";
import { at, h, icon, say } from "/static/scripts/dom.js";
import { askErasure } from "/static/scripts/erasure.js";
import { showExports } from "/static/scripts/exports.js";
import { t, translate } from "/static/scripts/i18n.js";
import { Live } from "/static/scripts/live.js";
import { tone } from "/static/scripts/people.js";
import { Player } from "/static/scripts/player.js";
import { reportParts } from "/static/scripts/report.js";
import { openSignal } from "/static/scripts/signal.js";
import { recordingPath } from "/static/scripts/sound.js";
import { clock, moment } from "/static/scripts/time.js";
import { Transcript, reveal } from "/static/scripts/transcript.js";
import { Warnings } from "/static/scripts/warnings.js";
import { MeetingWatch } from "/static/scripts/watch.js";

const SCROLLED = 4_000; // whoever reads elsewhere is left alone for so long

const meetingId = decodeURIComponent(location.pathname.split("/")[2]);
const path = `/v1/meetings/${encodeURIComponent(meetingId)}`;
const transcript = new Transcript(at("transcript"), { hear, scroll: at("scroll") });
const warnings = new Warnings(at("warnings"));
const deliveries = new Deliveries(at("deliveries"), path);
const page = { phase: "", reportState: "", live: null, player: null, watch: null, length: 0, readAt: 0 };

// Programs read how far the page is from <body data-phase data-segments data-report data-coverage>.
const facts = document.body.dataset;
Object.assign(facts, { phase: "", segments: "0", report: "false", coverage: "false" });

translate();
showBar(openSignal());
addEventListener("popstate", fromAddress);
addEventListener("hashchange", fromAddress);
for (const name of ["wheel", "touchmove"]) addEventListener(name, () => { page.readAt = Date.now(); }, { passive: true });
document.addEventListener("keydown", pressed);
start();

async function start() {
  try {
    await told(await get(path));
  } catch (problem) {
    gone(known(problem));
    return;
  }
  page.watch = new MeetingWatch(meetingId, {
    begun: () => warnings.clear(),
    meeting: told,
    participant: (participant) => {
      warnings.know(participant);
      page.live?.know(participant);
    },
    warning: (warning) => warnings.show(warning),
    segment: add,
    interim: (interim) => {
      page.live?.heard(interim);
      at("silence").hidden = true;
      follow();
    },
    levels: (levels) => page.phase === "live" && page.live?.levels(levels),
    insight: (insight) => page.live?.insights.show(insight),
    coverage: (update) => page.live?.account(update),
    lost: () => say(at("notice"), t("room.reconnecting")),
    found: () => say(at("notice")),
    refused: (problem) => say(at("problem"), problem.detail),
  });
}

function known(problem) {
  if (problem.reason === "ERROR_REASON_MEETING_NOT_FOUND") return t("refused.meeting-not-found");
  if (problem.reason === "ERROR_REASON_MEETING_ERASED") return t("erase.erased");
  return explain(problem);
}

/** Nothing of the meeting is shown any more, only why. */
function gone(sentence) {
  page.watch?.close();
  page.player?.close();
  deliveries.close();
  facts.phase = "gone";
  document.title = t("brand");
  for (const id of ["head", "report", "transcript", "player", "downloads", "timeline", "people", "insights", "interims"]) at(id).replaceChildren();
  for (const id of ["columns", "coverage", "warnings", "deliveries"]) at(id).hidden = true;
  at("gone").replaceChildren(h("h1", {}, sentence), h("p", {}, h("a", { class: "button quiet", href: "/" }, t("meeting.all"))));
  at("gone").hidden = false;
  at("gone").focus();
}

async function told(meeting) {
  const phase = meeting.state === "live" || meeting.state === "scheduled" ? "live" : "over";
  meeting.participants.forEach((participant) => warnings.know(participant));
  facts.phase = phase;
  showHead(meeting, phase);
  if (phase === "live") {
    page.live ??= new Live({ people: at("people"), insights: at("insights"), interims: at("interims") });
    meeting.participants.forEach((participant) => page.live.know(participant));
  }
  const changed = meeting.report_state !== page.reportState || phase !== page.phase;
  Object.assign(page, { reportState: meeting.report_state, phase });
  at("silence").hidden = phase !== "live" || transcript.size > 0;
  if (phase === "over") {
    page.live?.end();
    showPlayer(meeting);
  }
  if (!changed) return;
  await Promise.all([showReport(meeting), showCoverage(phase), phase === "over" && showDownloads()]);
}

function add(segment) {
  page.live?.settled(segment);
  if (!transcript.add(segment)) return;
  facts.segments = String(transcript.size);
  at("silence").hidden = true;
  if (location.hash === `#s-${segment.segment_id}`) fromAddress();
  else follow();
}

// ---- what stands above

function showHead(meeting, phase) {
  const title = meeting.title || t("list.untitled");
  document.title = title;
  const look = { live: "live", finished: "good", finishing: "warn", failed: "live" }[meeting.state] ?? "";
  const room = !meeting.provider || meeting.provider === "room";
  const erase = () => askErasure({ path, title, erased: () => gone(t("erase.done")) });
  const actions = [
    phase === "live" && room && h("a", { class: "button primary small", href: `/rooms/${encodeURIComponent(meetingId)}` }, t("meeting.join"), icon("arrow")),
    phase === "live" && h("button", { class: "button quiet small", type: "button", id: "finish", onclick: () => at("confirm-finish").showModal() }, icon("finish"), t(room ? "room.finish" : "quick.stop")),
    phase === "over" && h("button", { class: "button quiet small danger", type: "button", id: "erase", onclick: erase }, icon("erase"), t("erase")),
  ];
  const focused = document.activeElement?.id;
  at("head").replaceChildren(
    h("div", { class: "meeting-title" },
      h("h1", {}, title),
      h("p", { class: "meeting-facts" },
        h("span", { class: `pill ${look}` }, meeting.state === "live" && h("span", { class: "rec-dot" }), t(`state.${meeting.state}`)),
        h("span", {}, moment(meeting.start_time ?? meeting.create_time)),
        meeting.duration_ms ? h("span", {}, clock(meeting.duration_ms)) : null,
        ...meeting.participants.map((one) => h("span", { class: `who ${tone(one.participant_id)}` }, h("span", { class: "dot" }), one.display_name)))),
    h("div", { class: "actions" }, ...actions));
  if (focused === "finish" || focused === "erase") at(focused)?.focus();
}

at("confirm-finish").addEventListener("close", async (event) => {
  if (event.target.returnValue !== "yes") return;
  try {
    const { meeting } = await post(`${path}/finish`);
    await told(meeting);
  } catch (problem) {
    say(at("problem"), explain(problem));
  }
});

async function showReport(meeting) {
  if (meeting.report_state !== "ready") {
    at("report").replaceChildren(h("p", { class: "waiting" }, t(`meeting.report.${meeting.report_state || "none"}`)));
    return;
  }
  try {
    const { report } = await get(`${path}/report`);
    at("report").replaceChildren(...reportParts(report, chooseEvidence));
    facts.report = "true";
    deliveries.look();
  } catch (problem) {
    at("report").replaceChildren(h("p", { class: "waiting" }, explain(problem)));
  }
}

async function showCoverage(phase) {
  try {
    const coverage = await get(`${path}/coverage`);
    if (phase === "live") {
      page.live.account(coverage);
      facts.coverage = "true";
      return;
    }
    at("coverage").hidden = !coverage.participants.length;
    const { share, words } = accounted(coverage);
    at("coverage-title").textContent = t(share === 100 ? "meeting.coverage" : "meeting.coverage.partly");
    at("coverage-words").textContent = t("meeting.coverage.words", { share, kinds: words });
    at("timeline").replaceChildren(timeline(coverage, hear));
    page.length = coverage.duration_ms;
    facts.coverage = "true";
  } catch {
    at("coverage").hidden = true; // the account is an addition; the report and the text stand without it
  }
}

const showDownloads = () => showExports(at("downloads"), { path, name: meetingId, failed: (problem) => say(at("problem"), explain(problem)) });

// ---- the sound and its words

function showPlayer(meeting) {
  if (page.player || meeting.state === "finishing" || !meeting.duration_ms) return;
  page.length = meeting.duration_ms;
  page.player = new Player(at("player"), { path: recordingPath(path), length: meeting.duration_ms, heard });
  at("player").hidden = false;
  at("hear-hint").hidden = false;
}

function hear(milliseconds) {
  page.readAt = 0;
  page.player?.from(milliseconds);
}

function heard(milliseconds, playing) {
  at("timeline").querySelector(".lanes")?.style.setProperty("--at", String(page.length ? milliseconds / page.length : 0));
  const word = transcript.at(milliseconds);
  if (word && playing && Date.now() - page.readAt > SCROLLED) reveal(at("scroll"), word);
}

/** Live words stay in view for whoever is at their end. */
function follow() {
  const scroll = at("scroll");
  if (page.phase === "live" && Date.now() - page.readAt > SCROLLED) scroll.scrollTop = scroll.scrollHeight;
}

function pressed(event) {
  if (!page.player || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, button, a, summary, dialog")) return;
  if (event.key === " ") page.player.toggle();
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const step = event.key === "ArrowRight" ? 1 : -1;
    const word = event.target.closest("#scroll") ? transcript.beside(page.player.position, step) : null;
    if (word === null) page.player.step(step);
    else hear(word);
  } else return;
  event.preventDefault();
}

function chooseEvidence(evidence) {
  const start = transcript.choose(evidence.segment_id, evidence.char_start, evidence.char_end);
  if (start !== null) hear(start);
}

function fromAddress() {
  const segment = location.hash.startsWith("#s-") ? decodeURIComponent(location.hash.slice(3)) : "";
  if (segment) transcript.choose(segment);
  else transcript.unchoose();
}
