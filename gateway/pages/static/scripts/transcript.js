// Lines of speech in the order in which they were said.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { initials, tone } from "/static/scripts/people.js";
import { pieces, spokenWords } from "/static/scripts/spoken.js";
import { clock } from "/static/scripts/time.js";

const LONGEST_WORD = 4_000; // nothing that began earlier is still being said

/** Scroll a place that scrolls, or the page where the place shows everything, until a line or a word can be read. */
export function reveal(place, element) {
  const own = place.scrollHeight > place.clientHeight + 1;
  const frame = own ? place.getBoundingClientRect() : { top: 80, bottom: innerHeight - 110 };
  const { top, bottom } = element.getBoundingClientRect();
  if (top < frame.top + 8 || bottom > frame.bottom - 24) (own ? place : window).scrollBy({ top: top - frame.top - (frame.bottom - frame.top) / 3, behavior: "smooth" });
}

/** Keeps an <ol> of finals; a segment that settles late finds its place by its start. `scroll` is the place that it stands in. With `hear(milliseconds)`, every
 *  word and the time before each line can be heard. */
export class Transcript {
  constructor(list, { hear = null, scroll = null } = {}) {
    this.list = list;
    this.scroll = scroll;
    this.hear = hear;
    this.lines = []; // {segment, element, words}, by start
    this.known = new Map();
    this.current = [];
    this.order = null; // every word as {start, end, entry, index}, by start; made when it is asked for
    if (hear) list.addEventListener("click", (event) => this.#clicked(event.target.closest("[data-word], .at")));
  }

  get size() {
    return this.lines.length;
  }

  /** Add a final; one that is known already is left alone. Returns its line, null if it was known. */
  add(segment) {
    if (this.known.has(segment.segment_id)) return null;
    const entry = { segment, element: line(segment, Boolean(this.hear)), words: this.hear ? spokenWords(segment) : [] };
    if (this.hear) this.#write(entry);
    this.order = null;
    this.known.set(segment.segment_id, entry);
    let place = this.lines.length;
    while (place > 0 && this.lines[place - 1].segment.start_ms > segment.start_ms) place -= 1;
    this.lines.splice(place, 0, entry);
    this.list.insertBefore(entry.element, this.lines[place + 1]?.element ?? null);
    this.#group(place);
    this.#group(place + 1);
    return entry.element;
  }

  /** Mark words of a segment, given in code points, and bring them into view. Returns the time of the first, null for a
   *  segment that is not here. */
  choose(segmentId, start, end) {
    this.unchoose();
    const entry = this.known.get(segmentId);
    if (!entry) return null;
    const whole = !(Number.isInteger(start) && end > start);
    if (!whole) this.#write(entry, { from: start, to: end });
    entry.element.classList.add("chosen");
    this.chosen = entry;
    reveal(this.scroll ?? this.list.parentElement, entry.element);
    return whole ? entry.segment.start_ms : entry.words.find((word) => word.to > start)?.start ?? entry.segment.start_ms;
  }

  unchoose() {
    if (!this.chosen) return;
    this.chosen.element.classList.remove("chosen");
    this.#write(this.chosen);
    this.chosen = undefined;
  }

  /** Mark the words that are being said at a time; null marks none. Returns the element of the last one, if it is another. */
  at(milliseconds) {
    const now = milliseconds === null ? [] : this.#saidAt(milliseconds);
    if (now.length === this.current.length && now.every((word, index) => word === this.current[index])) return null;
    for (const word of this.current) for (const element of elementsOf(word)) element.classList.remove("now");
    this.current = now;
    const marked = now.flatMap(elementsOf);
    for (const element of marked) element.classList.add("now");
    return marked.at(-1) ?? null;
  }

  /** Return the start of the word before or after a time: `step` is -1 or 1; null at either end. */
  beside(milliseconds, step) {
    const order = this.#ordered();
    if (step > 0) return order[this.#first(milliseconds + 1)]?.start ?? null;
    const place = this.#first(milliseconds - 300) - 1; // the word that has only just begun does not count
    return place < 0 ? null : order[place].start;
  }

  #saidAt(milliseconds) {
    const order = this.#ordered();
    const said = [];
    for (let place = this.#first(milliseconds + 1) - 1; place >= 0 && order[place].start > milliseconds - LONGEST_WORD; place -= 1) {
      if (order[place].end > milliseconds) said.unshift(order[place]);
    }
    return said;
  }

  /** Return the place of the first word that begins at a time or after it. */
  #first(milliseconds) {
    const order = this.#ordered();
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order[middle].start < milliseconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #ordered() {
    this.order ??= this.lines
      .flatMap((entry) => entry.words.map(({ start, end }, index) => ({ start, end, entry, index })))
      .sort((one, other) => one.start - other.start);
    return this.order;
  }

  #clicked(target) {
    if (!target || !getSelection().isCollapsed) return; // somebody selects words to copy them
    const entry = this.known.get(target.closest(".line").dataset.segment);
    this.hear(target.dataset.word === undefined ? entry.segment.start_ms : entry.words[Number(target.dataset.word)].start);
  }

  #write(entry, mark) {
    const nodes = [];
    let marking = null;
    for (const piece of pieces(entry.segment.text, entry.words, mark)) {
      const node = piece.word < 0 ? piece.text : h("span", { class: "word", data: { word: piece.word } }, piece.text);
      if (!piece.marked) marking = null;
      else if (!marking) nodes.push((marking = h("mark")));
      if (marking) marking.append(node);
      else nodes.push(node);
    }
    entry.element.querySelector(".said").replaceChildren(...nodes);
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

const elementsOf = ({ entry, index }) => [...entry.element.querySelectorAll(`[data-word="${index}"]`)];

function line(segment, heard) {
  const id = `s-${segment.segment_id}`;
  const when = clock(segment.start_ms);
  const time = heard
    ? h("button", { class: "at", type: "button", "aria-label": t("player.from", { when }), title: t("player.from", { when }) }, when)
    : h("a", { class: "at", href: `#${id}` }, when);
  return h("li", { class: `line ${tone(segment.participant_id)}`, id, data: { segment: segment.segment_id, participant: segment.participant_id }, lang: segment.language || null },
    h("span", { class: "avatar", "aria-hidden": "true" }, initials(segment.speaker)),
    h("p", { class: "who" }, h("b", {}, segment.speaker), time),
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
