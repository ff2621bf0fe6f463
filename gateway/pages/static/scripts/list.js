// The list of meetings, found and filtered; the start of a new one.

import { get, post } from "/static/scripts/api.js";
import { explain, showBar } from "/static/scripts/bar.js";
import { recorderProblem } from "/static/scripts/consent.js";
import { at, h, icon, say } from "/static/scripts/dom.js";
import { t, translate } from "/static/scripts/i18n.js";
import { QuickRecording } from "/static/scripts/quick.js";
import { openSignal } from "/static/scripts/signal.js";
import { clock, day, hour } from "/static/scripts/time.js";

const PAGE = 20;
const SEARCHED_PAGES = 5; // that a search fetches by itself; somebody has to want more
const TYPING = 250;
const STATES = ["", "live", "scheduled", "finishing", "finished", "failed"];

const shown = { meetings: [], token: "", state: "", words: [], turn: 0, failed: false };

translate();
showBar(openSignal());
document.title = t("brand");
at("start").elements.title.placeholder = t("list.title.example");
at("start").addEventListener("submit", start);
at("search").placeholder = t("list.search.example");
at("search-icon").append(icon("search"));
at("search").addEventListener("input", typed);
at("find").addEventListener("submit", (event) => event.preventDefault());
at("filter").append(...STATES.map((state) => h("option", { value: state }, t(state ? `state.${state}` : "list.all"))));
at("filter").addEventListener("change", () => { shown.state = at("filter").value; load(); });
at("more").addEventListener("click", () => load(shown.token));
new QuickRecording(at("quick"), { began: () => load() });
load();

async function start(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  button.disabled = true;
  say(at("start-problem"));
  try {
    const wishes = { title: form.elements.title.value.trim(), language: form.elements.language.value, auto_join_connector: true, request_id: crypto.randomUUID?.() ?? "" };
    const started = await post("/v1/meetings/start", wishes);
    recorderProblem.set(started.meeting_id, started.connector_error);
    location.assign(`/rooms/${encodeURIComponent(started.meeting_id)}`);
  } catch (problem) {
    say(at("start-problem"), explain(problem));
    button.disabled = false;
  }
}

/** Load a page, the first without a token; a search goes on through further pages until it has found a page full. */
async function load(token = "") {
  const turn = ++shown.turn;
  let next = token;
  try {
    for (let pages = 0; pages < (shown.words.length ? SEARCHED_PAGES : 1); pages += 1) {
      const query = new URLSearchParams({ page_size: PAGE, ...(next && { page_token: next }), ...(shown.state && { state: shown.state }) });
      const page = await get(`/v1/meetings?${query}`);
      if (turn !== shown.turn) return; // somebody asked for something else meanwhile
      shown.meetings = next ? [...shown.meetings, ...page.meetings] : page.meetings;
      shown.token = next = page.next_page_token;
      if (!next || found().length >= PAGE) break;
    }
    draw();
  } catch (problem) {
    if (turn !== shown.turn) return;
    const sentence = explain(problem);
    at("meetings").replaceChildren(h("p", { class: "empty" }, problem.status === 401 ? t("list.signin") : sentence));
    at("more").hidden = true;
  }
}

function typed() {
  clearTimeout(shown.typing);
  shown.typing = setTimeout(() => {
    shown.words = fold(at("search").value).split(/\s+/).filter(Boolean);
    draw();
    if (shown.words.length && shown.token && found().length < PAGE) load(shown.token);
  }, TYPING);
}

const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{Mark}/gu, "");

/** Every word that was typed is in the title, in somebody's name or in the day. */
function found() {
  return shown.meetings.filter((meeting) => {
    const text = fold([meeting.title || t("list.untitled"), ...meeting.participants.map((one) => one.display_name), day(meeting.create_time)].join(" "));
    return shown.words.every((word) => text.includes(word));
  });
}

function draw() {
  const meetings = found();
  const days = new Map();
  for (const meeting of meetings) {
    const name = day(meeting.create_time);
    if (!days.has(name)) days.set(name, h("ul", { class: "rows" }));
    days.get(name).append(h("li", {}, row(meeting)));
  }
  const filtered = shown.words.length > 0 || shown.state;
  at("meetings").replaceChildren(...[...days].map(([name, rows]) => h("div", { class: "day" }, h("h3", {}, name), rows)));
  if (!meetings.length) at("meetings").append(h("p", { class: "empty" }, t(filtered ? "list.nothing" : "list.empty")));
  at("meetings").dataset.loaded = String(meetings.length);
  at("more").hidden = !shown.token;
  at("more").textContent = t(shown.words.length ? "list.search.more" : "list.more");
  at("found").textContent = shown.words.length ? t("list.found", { n: meetings.length, all: shown.meetings.length }) : "";
}

function row(meeting) {
  const over = meeting.state === "finished" || meeting.state === "failed" || meeting.state === "finishing";
  const elsewhere = meeting.provider && meeting.provider !== "room";
  const id = encodeURIComponent(meeting.meeting_id);
  const facts = [];
  if (meeting.duration_ms) facts.push(clock(meeting.duration_ms));
  if (meeting.participants.length) facts.push(t("list.people", { n: meeting.participants.length }));
  if (meeting.segments) facts.push(t("list.segments", { n: meeting.segments }));
  facts.push(t(`report.${meeting.report_state || "none"}`));
  return h("a", { class: "row", href: over || elsewhere ? `/meetings/${id}` : `/rooms/${id}`, data: { meeting: meeting.meeting_id } },
    h("span", { class: "hour" }, hour(meeting.create_time)),
    h("span", { class: "title" }, meeting.title || t("list.untitled")),
    h("span", { class: "facts" }, ...facts.map((fact) => h("span", {}, fact))),
    h("span", { class: "state" }, statePill(meeting.state)));
}

function statePill(state) {
  const look = { live: "live", finished: "good", finishing: "warn", failed: "live" }[state] ?? "";
  return h("span", { class: `pill ${look}` }, state === "live" && h("span", { class: "rec-dot" }), t(`state.${state}`));
}
