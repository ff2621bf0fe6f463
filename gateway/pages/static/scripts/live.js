// A meeting while it goes on, seen from outside the call: who speaks, how much of them is written down, what stands out.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { Insights } from "/static/scripts/insights.js";
import { Roster } from "/static/scripts/roster.js";
import { Interims } from "/static/scripts/transcript.js";

const SPEAKING = 1_500; // a voice is shown as speaking for so long after its last words
const HUSH = 1_200; // levels come twice a second while somebody is heard; without them it is quiet, or the line is gone
const QUIET = -42; // decibels below full scale at which a meter begins, and how many make it full
const RANGE = 36;

/** Keeps the places `people`, `insights` and `interims`. */
export class Live {
  constructor({ people, insights, interims }) {
    this.roster = new Roster(people);
    this.insights = new Insights(insights);
    this.interims = new Interims(interims);
    this.timers = new Map();
    this.known = new Set();
  }

  know(participant) {
    const { participant_id: id, display_name: name, left_ms: left } = participant;
    const gone = Number.isInteger(left);
    this.roster.show({ id, name, muted: false, role: "guest" });
    if (gone) this.roster.leave(id);
    this.known.add(id);
  }

  heard(interim) {
    this.interims.show(interim);
    this.#speaks(interim.participant_id, interim.speaker);
  }

  /** Show how loud everybody is. */
  levels({ participants }) {
    const loud = new Map(participants.map((one) => [one.participant_id, share(one.level)]));
    for (const [id, { element }] of this.roster.people) element.style.setProperty("--level", (loud.get(id) ?? 0).toFixed(2));
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.levels({ participants: [] }), HUSH);
  }

  settled(segment) {
    this.interims.drop(segment.participant_id);
  }

  account(update) {
    for (const one of update.participants) if (!this.known.has(one.participant_id)) this.know(one);
    this.roster.account(update.participants);
  }

  /** The call is over: nobody speaks and no word is on its way. */
  end() {
    this.interims.clear();
    this.levels({ participants: [] });
    clearTimeout(this.quiet);
    for (const id of this.timers.keys()) this.#hush(id);
  }

  #speaks(id, name) {
    const person = this.roster.people.get(id) ?? (this.know({ participant_id: id, display_name: name }), this.roster.people.get(id));
    if (!this.timers.has(id)) {
      person.element.classList.add("speaking");
      person.element.querySelector(".marks").append(h("span", { class: "speaks" }, t("live.speaks")));
    }
    clearTimeout(this.timers.get(id));
    this.timers.set(id, setTimeout(() => this.#hush(id), SPEAKING));
  }

  #hush(id) {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    const { element } = this.roster.people.get(id);
    element.classList.remove("speaking");
    element.querySelector(".speaks")?.remove();
  }
}

/** How full a meter is at a peak of 0 to 255. */
function share(level) {
  return level > 0 ? Math.min(1, Math.max(0, (20 * Math.log10(level / 255) - QUIET) / RANGE)) : 0;
}
