// The call's chat: lines as they come, a field to write one, and how many were not seen yet.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { tone } from "/static/scripts/people.js";

const MOST = 500; // lines that are kept
const NEAR = 40; // pixels from the end within which somebody reads the newest line

/** Keeps a list in a scrolled place. `send(text)` brings a line to the room, `seen()` says whether the chat is open. */
export class Chat {
  constructor({ list, scroll, form, badge, send, seen }) {
    Object.assign(this, { list, scroll, form, badge, seen });
    this.members = new Map(); // id -> {name, role}; whoever left keeps their lines
    this.unread = 0;
    this.size = 0;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const field = form.elements.text;
      const text = field.value.trim();
      if (!text) return;
      send(text);
      field.value = "";
    });
  }

  /** Learn who a member of the call is. */
  know(member) {
    this.members.set(member.id, member);
  }

  /** Return who wrote a line, as far as the page knows. */
  author(id) {
    return this.members.get(id) ?? { id, name: "", role: "guest" };
  }

  /** Show a line. */
  add({ from, text, ts, to }) {
    const author = this.author(from);
    const reading = this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < NEAR;
    const recorder = author.role === "recorder";
    this.list.append(h("li", { class: `chat-line ${recorder ? "notice-line" : tone(from)}`, data: { role: author.role } },
      h("p", { class: "chat-who" },
        recorder ? h("span", { class: "rec-dot", "aria-hidden": "true" }) : null,
        h("b", {}, author.name || t("room.chat.somebody")),
        to ? h("span", { class: "chat-only" }, t("room.chat.only")) : null,
        h("time", { datetime: new Date(ts * 1000).toISOString() }, new Date(ts * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }))),
      h("p", { class: "chat-text" }, text)));
    while (this.list.children.length > MOST) this.list.firstChild.remove();
    this.size += 1;
    if (reading) this.scroll.scrollTop = this.scroll.scrollHeight;
    if (!this.seen()) this.#count(this.unread + 1);
  }

  /** The chat is open: everything in it is seen. */
  open() {
    this.#count(0);
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  #count(unread) {
    this.unread = unread;
    this.badge.hidden = !unread;
    this.badge.textContent = unread ? String(Math.min(unread, 99)) : "";
    this.badge.setAttribute("aria-label", unread ? t("room.chat.unread", { n: unread }) : "");
  }
}
