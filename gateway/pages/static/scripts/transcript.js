// Lines of speech in the order in which they were said.

import { h } from "/static/scripts/dom.js";
import { initials, tone } from "/static/scripts/people.js";
import { clock } from "/static/scripts/time.js";

/** Keeps an <ol> of finals; a segment that settles late finds its place by its start. */
export class Transcript {
  constructor(list) {
    this.list = list;
    this.lines = []; // {segment, element}, by start
    this.known = new Map();
  }

  get size() {
    return this.lines.length;
  }

  /** Add a final; one that is known already is left alone. Returns its line, null if it was known. */
  add(segment) {
    if (this.known.has(segment.segment_id)) return null;
    const entry = { segment, element: line(segment) };
    this.known.set(segment.segment_id, entry);
    let place = this.lines.length;
    while (place > 0 && this.lines[place - 1].segment.start_ms > segment.start_ms) place -= 1;
    this.lines.splice(place, 0, entry);
    this.list.insertBefore(entry.element, this.lines[place + 1]?.element ?? null);
    this.#group(place);
    this.#group(place + 1);
    return entry.element;
  }

  /** Mark words of a segment, given in code points, and bring them into view. */
  choose(segmentId, start, end) {
    this.unchoose();
    const entry = this.known.get(segmentId);
    if (!entry) return false;
    const letters = [...entry.segment.text];
    const said = entry.element.querySelector(".said");
    if (Number.isInteger(start) && end > start) {
      said.replaceChildren(
        letters.slice(0, start).join(""),
        h("mark", {}, letters.slice(start, end).join("")),
        letters.slice(end).join(""));
    }
    entry.element.classList.add("chosen");
    this.chosen = entry;
    entry.element.scrollIntoView({ block: "center" });
    return true;
  }

  unchoose() {
    if (!this.chosen) return;
    this.chosen.element.classList.remove("chosen");
    this.chosen.element.querySelector(".said").textContent = this.chosen.segment.text;
    this.chosen = undefined;
  }

  /** A line that goes on where the same speaker stopped shows no name again. */
  #group(place) {
    const entry = this.lines[place];
    if (!entry) return;
    const before = this.lines[place - 1]?.segment;
    const follows = before?.participant_id === entry.segment.participant_id && entry.segment.start_ms - before.end_ms < 8000;
    entry.element.classList.toggle("follows", Boolean(follows));
  }
}

function line(segment) {
  const id = `s-${segment.segment_id}`;
  return h("li", { class: `line ${tone(segment.participant_id)}`, id, data: { segment: segment.segment_id, participant: segment.participant_id }, lang: segment.language || null },
    h("span", { class: "avatar", "aria-hidden": "true" }, initials(segment.speaker)),
    h("p", { class: "who" }, h("b", {}, segment.speaker), h("a", { class: "at", href: `#${id}` }, clock(segment.start_ms))),
    h("p", { class: "said" }, segment.text));
}

/** Keeps one grey line per speaker for text that may still change. */
export class Interims {
  constructor(place) {
    this.place = place;
    this.lines = new Map();
  }

  show(interim) {
    const text = `${interim.stable_text}${interim.unstable_text}`;
    if (!text.trim()) return this.drop(interim.participant_id);
    let element = this.lines.get(interim.participant_id);
    if (!element) {
      element = h("div", { class: `line interim ${tone(interim.participant_id)}` },
        h("span", { class: "avatar" }, initials(interim.speaker)),
        h("p", { class: "who" }, h("b", {}, interim.speaker)),
        h("p", { class: "said" }, h("span", { class: "stable" }), h("span", { class: "unstable" })));
      this.lines.set(interim.participant_id, element);
      this.place.append(element);
    }
    element.querySelector(".stable").textContent = interim.stable_text;
    // Two decodes may agree on words without the space between them and the next.
    const glue = interim.stable_text && interim.unstable_text && !/\s$/.test(interim.stable_text) && !/^[\s.,!?;:]/.test(interim.unstable_text) ? " " : "";
    element.querySelector(".unstable").textContent = glue + interim.unstable_text;
    return undefined;
  }

  drop(participantId) {
    this.lines.get(participantId)?.remove();
    this.lines.delete(participantId);
  }

  clear() {
    for (const participantId of [...this.lines.keys()]) this.drop(participantId);
  }
}
