// Recording a meeting elsewhere from its link: begun, watched and stopped from here.

import { get, post } from "/static/scripts/api.js";
import { explain } from "/static/scripts/bar.js";
import { h, icon, say } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { clock } from "/static/scripts/time.js";

const LOOK = 2_000;
const UNDER_WAY = new Set(["recording", "assembling"]);

/** Fills a place with a form and, while there is a recording, how it stands. `began()` is called when a recording began
 *  or ended.
 *
 *  Programs read how it stands from the place's `data-state`: the recording's, "idle" without one. */
export class QuickRecording {
  constructor(place, { began }) {
    this.place = place;
    this.began = began;
    this.id = "";
    this.state = "idle";
    this.link = h("input", { name: "url", type: "url", required: true, maxlength: 2000, autocomplete: "off", inputmode: "url", placeholder: "https://meet.example.org/standup" });
    this.minutes = h("input", { name: "minutes", type: "number", min: 1, max: 1440, inputmode: "numeric", placeholder: t("quick.minutes.none") });
    this.report = h("input", { type: "checkbox", name: "report", checked: true });
    this.go = h("button", { class: "button primary", type: "submit" }, t("quick.start"));
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.status = h("div", { class: "quick-status", role: "status", hidden: true });
    this.box = h("details", { class: "quick-box" });
    this.box.append(
      h("summary", {}, h("span", { class: "rec-dot", "aria-hidden": "true" }), h("span", { class: "quick-words" }, h("b", {}, t("quick.title")), h("span", { class: "hint" }, t("quick.lead")))),
      h("form", { class: "quick-form", onsubmit: (event) => this.#start(event) },
        h("label", { class: "field grow" }, h("span", {}, t("quick.link")), this.link),
        h("label", { class: "field" }, h("span", {}, t("quick.minutes")), this.minutes),
        this.go,
        h("label", { class: "choice" }, this.report, h("span", {}, t("quick.report")))),
      this.problem);
    place.append(this.box, this.status);
    place.dataset.state = this.state;
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
    this.#look();
  }

  async #start(event) {
    event.preventDefault();
    say(this.problem);
    this.go.disabled = true;
    const wishes = { url: this.link.value.trim(), duration_sec: Math.round(60 * (Number(this.minutes.value) || 0)), transcribe: true, upload_to_agent: this.report.checked, request_id: crypto.randomUUID?.() ?? "" };
    try {
      this.#show(await post("/v1/quick-record/start", wishes));
      this.link.value = "";
      this.box.open = false;
      this.began();
    } catch (problem) {
      const off = problem.reason === "ERROR_REASON_PROVIDER_DISABLED";
      const sentence = explain(problem);
      say(this.problem, off ? `${t("quick.off")} ${sentence}` : sentence);
    }
    this.go.disabled = UNDER_WAY.has(this.state);
  }

  async #stop(button) {
    button.disabled = true;
    try {
      this.#show(await post("/v1/quick-record/stop", { recording_id: this.id }));
    } catch (problem) {
      this.box.open = true;
      say(this.problem, explain(problem));
      button.disabled = false;
    }
  }

  async #look() {
    clearTimeout(this.timer);
    try {
      const recording = await get("/v1/quick-record/status");
      if (UNDER_WAY.has(recording.state) || this.id) this.#show(recording);
    } catch {
      if (!this.id) return; // without an answer there is nothing to show; starting says why
      this.timer = setTimeout(() => this.#look(), 4 * LOOK);
    }
  }

  #show(recording) {
    const changed = recording.state !== this.state;
    Object.assign(this, { id: recording.recording_id, state: recording.state });
    this.place.dataset.state = recording.state;
    const under = UNDER_WAY.has(recording.state);
    this.go.disabled = under;
    if (changed) this.#build(recording);
    const time = this.status.querySelector(".quick-time");
    if (time) time.textContent = clock(1000 * recording.seconds);
    clearTimeout(this.timer);
    if (under && !document.hidden) this.timer = setTimeout(() => this.#look(), LOOK);
    if (changed && !under) this.began();
  }

  /** The words are written once for each state, so that a screen reader hears each once. */
  #build(recording) {
    const { state, error, url } = recording;
    const id = encodeURIComponent(recording.meeting_id || recording.recording_id);
    this.status.hidden = state === "idle";
    this.status.dataset.state = state;
    this.status.replaceChildren(
      h("p", {},
        h("b", {}, state === "recording" && h("span", { class: "rec-dot", "aria-hidden": "true" }), t(`quick.${state}`)),
        h("span", { class: "quick-url" }, url), h("span", { class: "quick-time", "aria-hidden": "true" }),
        error && h("span", { class: "quick-error" }, error)),
      h("div", { class: "actions" },
        h("a", { class: "button quiet small", href: `/meetings/${id}` }, t(UNDER_WAY.has(state) ? "quick.watch" : "quick.open")),
        state === "recording" && h("button", { class: "button stop small", type: "button", onclick: (event) => this.#stop(event.currentTarget) }, icon("finish"), t("quick.stop"))));
  }
}
