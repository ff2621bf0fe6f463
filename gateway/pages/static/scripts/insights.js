// What is worth knowing while people still speak.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { tone } from "/static/scripts/people.js";
import { clock } from "/static/scripts/time.js";

/** Keeps the panel: speaking time replaces itself, questions and actions are added, newest first. */
export class Insights {
  constructor(place) {
    this.empty = h("p", { class: "empty hint" }, t("room.no_insights"));
    this.talk = group("room.talk");
    this.questions = group("room.questions");
    this.actions = group("room.actions");
    this.known = new Set();
    place.append(this.empty, this.talk, this.actions, this.questions);
  }

  show(insight) {
    this.empty.hidden = true;
    if (insight.talk) this.#showTalk(insight.talk);
    if (insight.question) this.#add(this.questions, insight.question, "");
    if (insight.action) {
      const { action } = insight;
      const due = action.due_text ? t("report.due", { date: action.due_text }) : "";
      this.#add(this.actions, action.claim, [action.owner !== action.claim.evidence[0]?.speaker && action.owner, due].filter(Boolean).join(", "));
    }
  }

  #showTalk(talk) {
    this.talk.hidden = false;
    const [title] = this.talk.children;
    this.talk.replaceChildren(title, ...talk.speakers.map((speaker) =>
      h("div", { class: `share ${tone(speaker.participant_id)}`, vars: { share: String(speaker.talk_ratio) } },
        h("span", {}, speaker.speaker),
        h("span", { class: "percent" }, `${Math.round(100 * speaker.talk_ratio)} %`),
        h("span", { class: "track" }, h("span")))));
  }

  #add(place, claim, footer) {
    const [evidence] = claim.evidence;
    const mark = evidence ? `${evidence.segment_id}:${evidence.char_start}` : claim.claim_id;
    const name = `${place.dataset.kind} ${mark}`;
    if (this.known.has(name)) return;
    this.known.add(name);
    place.hidden = false;
    const source = evidence ? [`${evidence.speaker}, ${clock(evidence.start_ms)}`] : [];
    place.firstElementChild.after(h("div", { class: "insight" },
      h("p", {}, claim.text),
      h("footer", {}, [...source, footer].filter(Boolean).join(" · "))));
  }
}

function group(title) {
  return h("section", { class: "insight-group", hidden: true, data: { kind: title } }, h("h3", {}, t(title)));
}
