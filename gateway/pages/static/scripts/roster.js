// Who is in the call: name, loudness, microphone, and the account of their time.

import { accountBar } from "/static/scripts/coverage.js";
import { h, icon } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { initials, tone } from "/static/scripts/people.js";

/** Keeps a <ul>; people stay, greyed, after they have left. */
export class Roster {
  constructor(list) {
    this.list = list;
    this.people = new Map(); // id -> {element, meter}
  }

  /** Show a member of the call; a later call for the same id changes it. */
  show(member, { self = false } = {}) {
    const person = this.people.get(member.id) ?? this.#add(member);
    const { element } = person;
    element.classList.remove("gone");
    element.dataset.muted = String(member.muted);
    element.dataset.recording = String(member.recording !== false);
    element.querySelector(".name").replaceChildren(member.name, self ? h("span", { class: "role" }, ` ${t("room.you")}`) : "");
    this.#mark(element, ".muted-mark", member.muted, "muted", "room.muted");
    this.#mark(element, ".withdrawn-mark", member.recording === false, "unrecorded", "room.not_recorded");
    person.self ||= self;
    person.name = member.name;
    return person;
  }

  /** Note that somebody has left; the recorder simply disappears. */
  leave(id) {
    const person = this.people.get(id);
    if (!person) return;
    this.listen(id, null);
    if (person.role === "recorder") {
      person.element.remove();
      this.people.delete(id);
      return;
    }
    person.element.classList.add("gone");
    for (const mark of person.element.querySelectorAll(".mark")) mark.replaceChildren();
    person.element.querySelector(".name").append(h("span", { class: "role left" }, ` ${t("room.left")}`));
  }

  /** Show somebody's loudness from now on; null shows none. */
  listen(id, meter) {
    const person = this.people.get(id);
    if (!person) return;
    person.meter?.close();
    person.meter = meter;
    person.element.style.setProperty("--level", "0");
  }

  /** Show the accounts so far. */
  account(participants) {
    for (const participant of participants) {
      const person = this.people.get(participant.participant_id);
      person?.element.querySelector(".account").replaceWith(accountBar(participant));
    }
  }

  /** Draw everybody's loudness; called for each picture. */
  draw() {
    for (const { element, meter } of this.people.values()) {
      if (meter) element.style.setProperty("--level", element.dataset.muted === "true" ? "0" : meter.level().toFixed(3));
    }
  }

  get recorderVisible() {
    return Boolean(this.recorder);
  }

  /** Name of the recorder that is in the call; empty without one. */
  get recorder() {
    return [...this.people.values()].find((person) => person.role === "recorder")?.name ?? "";
  }

  #mark(element, place, there, shape, word) {
    element.querySelector(place).replaceChildren(...(there ? [icon(shape), h("span", { class: "visually-hidden" }, t(word))] : []));
    element.querySelector(place).title = there ? t(word) : "";
  }

  #add(member) {
    const recorder = member.role === "recorder";
    const element = h("li", { class: `person ${recorder ? "recorder" : tone(member.id)}`, data: { id: member.id, role: member.role } },
      h("span", { class: "avatar", "aria-hidden": "true" }, recorder ? h("span", { class: "rec-dot" }) : initials(member.name)),
      h("span", { class: "name" }),
      h("span", { class: "marks" }, h("span", { class: "mark withdrawn-mark" }), h("span", { class: "mark muted-mark" })),
      recorder ? h("span", { class: "role" }, t("room.recording")) : h("div", { class: "meter", "aria-hidden": "true" }, h("span")),
      h("div", { class: "account" }));
    const person = { element, role: member.role, meter: null };
    this.people.set(member.id, person);
    this.list.append(element);
    return person;
  }
}
