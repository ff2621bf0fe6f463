// Whether one is recorded, said plainly on top of the call, and the choice, which is kept for this call in this tab.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";

const PATIENCE = 15_000; // for a recorder that is on its way

/** The choice for a call: true for somebody who does not want to be recorded. */
export const withdrawn = {
  get: (meetingId) => sessionStorage.getItem(`agent.withdrawn.${meetingId}`) === "1",
  set: (meetingId, value) => (value ? sessionStorage.setItem(`agent.withdrawn.${meetingId}`, "1") : sessionStorage.removeItem(`agent.withdrawn.${meetingId}`)),
};

/** Why the recorder could not be sent into a call, as the answer to its start said; only the tab that started it knows. */
export const recorderProblem = {
  get: (meetingId) => sessionStorage.getItem(`agent.recorder-problem.${meetingId}`) ?? "",
  set: (meetingId, problem) => problem && sessionStorage.setItem(`agent.recorder-problem.${meetingId}`, problem),
  clear: (meetingId) => sessionStorage.removeItem(`agent.recorder-problem.${meetingId}`),
};

/** Keeps a place. `facts()` returns {live, recorder, recording, notice, problem, since}: the recorder's name or "", whether
 *  one is recorded oneself, the notice's words, why there is no recorder, and since when there is none. */
export class Banner {
  constructor(place, facts) {
    this.place = place;
    this.facts = facts;
    this.shown = "";
  }

  /** Show how things stand; a reader is told only when that changes. */
  draw() {
    const { live, recorder, recording, notice, problem, since } = this.facts();
    const away = !recorder && (problem || Date.now() - since > PATIENCE);
    const [look, title, text] = !recorder
      ? [away ? "away" : "waiting", t(away ? "room.banner.away" : "room.banner.waiting"), away ? problem || t("room.banner.away.text") : t("room.banner.waiting.text")]
      : recording
        ? ["on", t("room.banner.on", { who: recorder }), notice || t("room.banner.on.text")]
        : ["off", t("room.banner.off"), t("room.banner.off.text")];
    this.place.hidden = !live;
    if (this.shown === look + title + text) return;
    this.shown = look + title + text;
    this.place.dataset.look = look;
    this.place.replaceChildren(
      h("span", { class: "rec-dot", "aria-hidden": "true" }),
      h("p", {}, h("b", { class: "banner-title" }, title), " ", h("span", { class: "banner-text" }, text)));
  }
}
