// Where the report was sent, how each sending stands, and sending one again.

import { get, post } from "/static/scripts/api.js";
import { explain } from "/static/scripts/bar.js";
import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { moment } from "/static/scripts/time.js";

const CHANNELS = ["email", "webhook", "telegram", "file"];
const LOOKS = { sent: "good", queued: "warn", failed: "live" };
const AGAIN = 4_000; // what is queued is looked after so often
const MOST = 30;

/** Keeps a section that is hidden while nothing was sent anywhere. */
export class Deliveries {
  constructor(place, path) {
    this.place = place;
    this.path = `${path}/deliveries`;
    this.refused = new Map(); // delivery -> why it could not be sent again
    this.looks = 0;
    this.closed = false;
  }

  /** Ask and show; goes on while something is on its way. */
  async look() {
    clearTimeout(this.timer);
    let found;
    try {
      found = (await get(this.path)).deliveries;
    } catch {
      return; // the list is an addition; the report stands without it
    }
    if (this.closed) return;
    this.#draw(found);
    this.looks += 1;
    if (found.some((one) => one.state === "queued") && this.looks < MOST) this.timer = setTimeout(() => this.look(), AGAIN);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.place.replaceChildren();
  }

  async #again(delivery) {
    this.looks = 0;
    try {
      await post(`${this.path}/${encodeURIComponent(delivery.delivery_id)}/redeliver`, { request_id: crypto.randomUUID?.() ?? "" });
      this.refused.delete(delivery.delivery_id);
    } catch (problem) {
      this.refused.set(delivery.delivery_id, problem.status === 403 ? t("deliveries.operators") : explain(problem));
    }
    await this.look();
    this.place.querySelector(`[data-delivery="${CSS.escape(delivery.delivery_id)}"]`)?.focus();
  }

  #draw(found) {
    this.place.hidden = !found.length;
    document.body.dataset.deliveries = String(found.length);
    const focused = document.activeElement?.closest("[data-delivery]")?.dataset.delivery;
    this.place.replaceChildren(h("h2", { id: "deliveries-title" }, t("deliveries")), h("ul", {}, ...found.map((one) => this.#row(one))));
    if (focused) this.place.querySelector(`[data-delivery="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(delivery) {
    const { delivery_id: id, channel, state, attempts, last_error: error, update_time: when } = delivery;
    const refused = this.refused.get(id);
    return h("li", { class: "delivery", tabindex: "-1", data: { delivery: id } },
      h("span", { class: "delivery-name" }, CHANNELS.includes(channel) ? t(`deliveries.${channel}`) : channel),
      h("span", { class: `pill ${LOOKS[state] ?? ""}` }, state in LOOKS ? t(`deliveries.${state}`) : state),
      h("span", { class: "delivery-time" }, [when ? moment(when) : "", attempts > 1 ? t("deliveries.attempts", { count: attempts }) : ""].filter(Boolean).join(" · ")),
      state === "failed" && !refused ? h("button", { class: "button quiet small", type: "button", onclick: (event) => { event.currentTarget.disabled = true; this.#again(delivery); } }, t("deliveries.again")) : null,
      error && state !== "sent" ? h("p", { class: "delivery-error" }, error) : null,
      refused ? h("p", { class: "delivery-error", role: "status" }, refused) : null);
  }
}
