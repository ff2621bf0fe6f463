// The account of every second: a small bar while people speak, a timeline afterwards.

import { h, s } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { clock } from "/static/scripts/time.js";

const KINDS = ["transcribed", "silent", "muted", "concealed", "lost", "pending"];

const LANE = 22;

const kindOf = (interval) => interval.kind.replace("COVERAGE_KIND_", "").toLowerCase();

/** Return a bar with the shares of each kind, and the ones that matter in words. */
export function accountBar(participant) {
  const totals = participant.coverage_ms ?? {};
  const told = KINDS.filter((kind) => totals[kind] > 0);
  const words = told.filter((kind) => kind !== "silent" && totals[kind] >= 1000).map((kind) => `${t(`kind.${kind}`)} ${clock(totals[kind])}`).join(", ");
  return h("div", { class: "account", data: Object.fromEntries(told.map((kind) => [kind, totals[kind]])) },
    h("div", { class: "account-bar", role: "img", "aria-label": words },
      ...told.map((kind) => h("span", { title: t(`kind.${kind}`), vars: { share: String(totals[kind]), shade: `var(--kind-${kind})` } }))),
    h("p", { class: "account-words" }, words));
}

/** Return the whole meeting as one lane per participant, drawn to scale, with a legend that adds up. */
export function timeline(coverage) {
  const lanes = h("div", { class: "lanes" });
  for (const participant of coverage.participants) {
    lanes.append(h("span", { class: "name", title: participant.display_name }, participant.display_name), lane(participant, coverage.duration_ms));
  }
  const marks = 5;
  lanes.append(h("div", { class: "axis", "aria-hidden": "true" },
    ...Array.from({ length: marks }, (_, number) => h("span", {}, clock((coverage.duration_ms * number) / (marks - 1))))));
  return h("div", {}, lanes, legend(coverage.participants));
}

/** Return how much of the meeting is accounted for, in percent rounded down, and the account in words; lost is always told. */
export function accounted(coverage) {
  const sums = Object.fromEntries(KINDS.map((kind) => [kind, sum(coverage.participants, kind)]));
  const known = Object.values(sums).reduce((total, one) => total + one, 0) + sum(coverage.participants, "absent");
  const whole = coverage.duration_ms * coverage.participants.length;
  const told = KINDS.filter((kind) => kind !== "lost" && sums[kind] > 0).concat("lost");
  return {
    share: whole ? Math.floor((100 * Math.min(known, 2 * whole - known)) / whole) : 100,
    words: told.map((kind) => `${t(`kind.${kind}`)} ${length(sums[kind])}`).join(", "),
  };
}

const sum = (participants, kind) => participants.reduce((total, one) => total + (kind === "absent" ? one.absent_ms : one.coverage_ms[kind]), 0);

/** Time in words; what is shorter than a second never reads as nothing. */
const length = (milliseconds) => (milliseconds > 0 && milliseconds < 1000 ? "< 0:01" : clock(milliseconds));

function lane(participant, duration) {
  const quiet = new Set(["silent", "muted"]); // drawn as a thin line: speech is what the eye looks for
  const rects = participant.intervals.flatMap((interval) => {
    const kind = kindOf(interval);
    const [y, height] = quiet.has(kind) ? [9, 4] : [0, LANE];
    const [x, width] = [interval.start_ms, interval.end_ms - interval.start_ms];
    const words = `${t(`kind.${kind}`)}: ${clock(interval.start_ms)}–${clock(interval.end_ms)}`;
    return [
      s("rect", { class: "present", x, y: 0, width, height: LANE }),
      s("rect", { class: kind, x, y, width: Math.max(width, duration / 1200), height }, s("title", {}, words)),
    ];
  });
  const label = KINDS.filter((kind) => participant.coverage_ms[kind]).map((kind) => `${t(`kind.${kind}`)} ${clock(participant.coverage_ms[kind])}`).join(", ");
  return s("svg", { class: "lane", viewBox: `0 0 ${duration || 1} ${LANE}`, preserveAspectRatio: "none", role: "img", "aria-label": `${participant.display_name}: ${label}` },
    s("title", {}, label), ...rects);
}

function legend(participants) {
  const shown = [...KINDS, "absent"].filter((kind) => sum(participants, kind) > 0);
  return h("ul", { class: "legend" }, ...shown.map((kind) =>
    h("li", { class: kind },
      h("span", { class: "swatch", vars: kind === "absent" ? {} : { shade: `var(--kind-${kind})` } }),
      `${t(`kind.${kind}`)} ${length(sum(participants, kind))}`)));
}
