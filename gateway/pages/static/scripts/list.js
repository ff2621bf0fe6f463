// The list of meetings, and the start of a new one.

import { get, post } from "/static/scripts/api.js";
import { explain, showBar } from "/static/scripts/bar.js";
import { at, h, say } from "/static/scripts/dom.js";
import { t, translate } from "/static/scripts/i18n.js";
import { clock, day, hour } from "/static/scripts/time.js";

const HEALTH_MILLISECONDS = 10_000;
const PAGE = 20;

const shown = { days: new Map(), token: "" };

translate();
showBar();
document.title = t("brand");
at("start").elements.title.placeholder = t("list.title.example");
at("start").addEventListener("submit", start);
at("more").addEventListener("click", () => load(shown.token));
load("");
signal();
setInterval(signal, HEALTH_MILLISECONDS);

async function start(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  button.disabled = true;
  say(at("start-problem"));
  try {
    const wishes = { title: form.elements.title.value.trim(), language: form.elements.language.value, auto_join_connector: true, request_id: crypto.randomUUID?.() ?? "" };
    const started = await post("/v1/meetings/start", wishes);
    location.assign(`/rooms/${encodeURIComponent(started.meeting_id)}`);
  } catch (problem) {
    say(at("start-problem"), explain(problem));
    button.disabled = false;
  }
}

async function load(token) {
  try {
    const page = await get(`/v1/meetings?page_size=${PAGE}${token ? `&page_token=${encodeURIComponent(token)}` : ""}`);
    page.meetings.forEach(show);
    shown.token = page.next_page_token;
    at("more").hidden = !shown.token;
    if (!shown.days.size) at("meetings").replaceChildren(h("p", { class: "empty" }, t("list.empty")));
    at("meetings").dataset.loaded = String(at("meetings").querySelectorAll(".row").length);
  } catch (problem) {
    const sentence = explain(problem);
    at("meetings").replaceChildren(h("p", { class: "empty" }, problem.status === 401 ? t("list.signin") : sentence));
  }
}

function show(meeting) {
  const name = day(meeting.create_time);
  if (!shown.days.has(name)) {
    const rows = h("div", { class: "rows" });
    shown.days.set(name, rows);
    at("meetings").append(h("div", { class: "day" }, h("h3", {}, name), rows));
  }
  shown.days.get(name).append(row(meeting));
}

function row(meeting) {
  const over = meeting.state === "finished" || meeting.state === "failed" || meeting.state === "finishing";
  const id = encodeURIComponent(meeting.meeting_id);
  const facts = [];
  if (meeting.duration_ms) facts.push(clock(meeting.duration_ms));
  if (meeting.participants.length) facts.push(t("list.people", { n: meeting.participants.length }));
  if (meeting.segments) facts.push(t("list.segments", { n: meeting.segments }));
  facts.push(t(`report.${meeting.report_state || "none"}`));
  return h("a", { class: "row", href: over ? `/meetings/${id}` : `/rooms/${id}`, data: { meeting: meeting.meeting_id } },
    h("span", { class: "hour" }, hour(meeting.create_time)),
    h("span", { class: "title" }, meeting.title || t("list.untitled")),
    h("span", { class: "facts" }, ...facts.map((fact) => h("span", {}, fact))),
    h("span", { class: "state" }, statePill(meeting.state)));
}

function statePill(state) {
  const look = { live: "live", finished: "good", finishing: "warn", failed: "live" }[state] ?? "";
  return h("span", { class: `pill ${look}` }, state === "live" && h("span", { class: "rec-dot" }), t(`state.${state}`));
}

async function signal() {
  const place = at("signal");
  let look = "away";
  let words = t("signal.away");
  try {
    const health = await (await fetch("/health")).json();
    const sick = Object.entries(health.rooms).filter(([, state]) => state !== "serving").map(([room]) => room);
    look = sick.length ? "degraded" : "ok";
    words = sick.length ? t("signal.degraded", { rooms: sick.join(", ") }) : t("signal.ok");
  } catch {
    // the words say it
  }
  place.className = `signal ${look}`;
  if (place.textContent !== words) place.textContent = words;
}
