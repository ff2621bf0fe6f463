// The API's signal: whether the gateway answers and every room serves, in the bar and in words.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";

const PAUSE = 10_000;

/** Return the sign; it asks by itself from now on, while somebody looks. */
export function openSignal() {
  const place = h("p", { id: "signal", class: "signal", role: "status" }, h("span", { class: "signal-words" }, t("signal.asking")));
  ask(place);
  setInterval(() => document.hidden || ask(place), PAUSE);
  document.addEventListener("visibilitychange", () => document.hidden || ask(place));
  return place;
}

async function ask(place) {
  let look = "away";
  let words = t("signal.away");
  try {
    const health = await (await fetch("/health")).json();
    const sick = Object.entries(health.rooms).filter(([, state]) => state !== "serving").map(([room]) => room);
    look = sick.length ? "degraded" : "ok";
    words = sick.length ? t("signal.degraded", { rooms: sick.join(", ") }) : t("signal.ok");
  } catch {
    // the words say it
  }
  place.className = `signal ${look}`;
  place.title = words;
  const shown = place.firstElementChild;
  if (shown.textContent !== words) shown.textContent = words;
}
