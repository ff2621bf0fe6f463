// A meeting after its call: the report, the account of every second, the transcript, the files.

import { call, download, get } from "/static/scripts/api.js";
import { explain, showBar } from "/static/scripts/bar.js";
import { accounted, timeline } from "/static/scripts/coverage.js";
import { at, h, icon, say } from "/static/scripts/dom.js";
import { t, translate } from "/static/scripts/i18n.js";
import { tone } from "/static/scripts/people.js";
import { reportParts } from "/static/scripts/report.js";
import { clock, moment } from "/static/scripts/time.js";
import { Transcript } from "/static/scripts/transcript.js";
import { Warnings } from "/static/scripts/warnings.js";
import { MeetingWatch } from "/static/scripts/watch.js";

const meetingId = decodeURIComponent(location.pathname.split("/")[2]);
const path = `/v1/meetings/${encodeURIComponent(meetingId)}`;
const transcript = new Transcript(at("transcript"));
const warnings = new Warnings(at("warnings"));
const page = { reportState: "", revision: 0 };

// Programs read how far the page is from <body data-segments data-report data-coverage>.
const facts = document.body.dataset;
Object.assign(facts, { segments: "0", report: "false", coverage: "false" });

translate();
showBar();
addEventListener("popstate", fromAddress);
addEventListener("hashchange", fromAddress);
start();

async function start() {
  try {
    await told(await get(path));
  } catch (problem) {
    say(at("problem"), problem.reason === "ERROR_REASON_MEETING_NOT_FOUND" ? t("refused.meeting-not-found") : explain(problem));
    document.querySelector(".columns").hidden = true;
    return;
  }
  new MeetingWatch(meetingId, {
    begun: () => warnings.clear(),
    meeting: told,
    participant: (participant) => warnings.know(participant),
    warning: (warning) => warnings.show(warning),
    segment: (segment) => {
      if (!transcript.add(segment)) return;
      facts.segments = String(transcript.size);
      if (location.hash === `#s-${segment.segment_id}`) fromAddress();
    },
    refused: (problem) => say(at("problem"), problem.detail),
  }, { interim: false });
}

async function told(meeting) {
  showHead(meeting);
  meeting.participants.forEach((participant) => warnings.know(participant));
  const changed = meeting.report_state !== page.reportState;
  page.reportState = meeting.report_state;
  if (!changed) return;
  await Promise.all([showReport(meeting), showCoverage(), showDownloads()]);
}

function showHead(meeting) {
  document.title = meeting.title || t("list.untitled");
  const running = meeting.state === "live" || meeting.state === "scheduled";
  const look = { live: "live", finished: "good", finishing: "warn", failed: "live" }[meeting.state] ?? "";
  at("head").replaceChildren(
    h("h1", {}, meeting.title || t("list.untitled")),
    h("p", { class: "meeting-facts" },
      h("span", { class: `pill ${look}` }, t(`state.${meeting.state}`)),
      h("span", {}, moment(meeting.start_time ?? meeting.create_time)),
      meeting.duration_ms ? h("span", {}, clock(meeting.duration_ms)) : null,
      ...meeting.participants.map((one) => h("span", { class: `who ${tone(one.participant_id)}` }, h("span", { class: "dot" }), one.display_name))),
    running ? h("p", {}, h("a", { class: "button primary", href: `/rooms/${encodeURIComponent(meetingId)}` }, t("meeting.join"), icon("arrow"))) : "");
}

async function showReport(meeting) {
  if (meeting.report_state !== "ready") {
    at("report").replaceChildren(h("p", { class: "waiting" }, t(`meeting.report.${meeting.report_state || "none"}`)));
    return;
  }
  try {
    const { report } = await get(`${path}/report`);
    at("report").replaceChildren(...reportParts(report, chooseEvidence));
    facts.report = "true";
  } catch (problem) {
    at("report").replaceChildren(h("p", { class: "waiting" }, explain(problem)));
  }
}

async function showCoverage() {
  try {
    const coverage = await get(`${path}/coverage`);
    at("coverage").hidden = !coverage.participants.length;
    const { share, words } = accounted(coverage);
    at("coverage-title").textContent = t(share === 100 ? "meeting.coverage" : "meeting.coverage.partly");
    at("coverage-words").textContent = t("meeting.coverage.words", { share, kinds: words });
    at("timeline").replaceChildren(timeline(coverage));
    facts.coverage = "true";
  } catch {
    at("coverage").hidden = true; // the account is an addition; the report and the text stand without it
  }
}

async function showDownloads() {
  let artifacts = [];
  try {
    ({ artifacts } = await (await call(`${path}/artifacts`)).json());
  } catch {
    return; // there are none yet
  }
  if (!artifacts.length) return;
  const kinds = [...new Set(artifacts.map((one) => one.kind))];
  const menu = h("div", { class: "menu", hidden: true, id: "menu" }, ...kinds.flatMap((kind) => [
    h("h3", {}, t(`artifact.${kind}`)),
    h("div", {}, ...artifacts.filter((one) => one.kind === kind).map((one) => fileButton(one))),
  ]));
  const button = h("button", { class: "button quiet small", type: "button", "aria-expanded": "false", "aria-controls": "menu" }, icon("download"), t("downloads"));
  const show = (open) => { menu.hidden = !open; button.setAttribute("aria-expanded", String(open)); };
  button.addEventListener("click", () => show(menu.hidden));
  document.addEventListener("click", (event) => at("downloads").contains(event.target) || show(false));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !menu.hidden) { show(false); button.focus(); } });
  at("downloads").replaceChildren(button, menu);
}

function fileButton(artifact) {
  const query = new URLSearchParams({ kind: artifact.kind, fmt: artifact.fmt });
  const save = () => download(`${path}/artifact?${query}`, `${meetingId}-${artifact.kind}.${artifact.fmt}`).catch((problem) => say(at("problem"), explain(problem)));
  return h("button", { type: "button", title: artifact.content_type, onclick: save }, artifact.fmt);
}

function chooseEvidence(evidence) {
  transcript.choose(evidence.segment_id, evidence.char_start, evidence.char_end);
}

function fromAddress() {
  const segment = location.hash.startsWith("#s-") ? decodeURIComponent(location.hash.slice(3)) : "";
  if (segment) transcript.choose(segment);
  else transcript.unchoose();
}
