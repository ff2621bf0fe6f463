// What is wrong with a recording, while there is time to mend it: one line for each, gone when it is over.

import { h, icon } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { clock } from "/static/scripts/time.js";

const KNOWN = ["silent_capture", "no_audio", "recognition_away", "journal_disk_full"];

/** Keeps a place for warnings, hidden while there are none. */
export class Warnings {
  constructor(place, { isSelf = () => false } = {}) {
    this.place = place;
    this.isSelf = isSelf;
    this.names = new Map(); // participant -> name as shown
    this.active = new Map();
  }

  /** Learn who a participant is. */
  know(participant) {
    this.names.set(participant.participant_id, participant.display_name);
    if (this.active.size) this.#draw();
  }

  /** Show a warning, or take it away when it is over. */
  show(warning) {
    const mark = `${warning.kind} ${warning.participant_id}`;
    if (warning.cleared) this.active.delete(mark);
    else this.active.set(mark, warning);
    this.#draw();
  }

  /** Forget everything: whoever tells next tells all that is wrong. */
  clear() {
    this.active.clear();
    this.#draw();
  }

  #draw() {
    document.body.dataset.warnings = String(this.active.size);
    this.place.hidden = !this.active.size;
    this.place.replaceChildren(...[...this.active.values()].map((warning) =>
      h("p", { class: "alarm", data: { kind: warning.kind } }, icon("warning"),
        h("span", {}, this.#sentence(warning)),
        warning.participant_id ? h("span", { class: "since" }, t("warning.since", { when: clock(warning.since_ms) })) : null)));
  }

  #sentence(warning) {
    if (!KNOWN.includes(warning.kind)) return warning.message;
    const own = warning.participant_id && this.isSelf(warning.participant_id);
    return t(`warning.${warning.kind}${own ? ".you" : ""}`, { who: this.names.get(warning.participant_id) || warning.participant_id });
  }
}
