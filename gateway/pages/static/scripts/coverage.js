// The account of every second: a small bar while people speak, a timeline afterwards.

import { h, s } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { clock } from "/static/scripts/time.js";

const KINDS = ["transcribed", "silent", "muted", "concealed", "lost", "pending", "withdrawn"];

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

/** Return the whole meeting as one lane per participant, drawn to scale, with the account in words; `hear(milliseconds)`
 *  is called when somebody clicks into the picture. `--at` on `.lanes` (0 to 1) moves its playhead. */
export function timeline(coverage, hear = null) {
  const lanes = h("div", { class: "lanes" });
  for (const participant of coverage.participants) {
    lanes.append(
      h("span", { class: "name", title: participant.display_name }, participant.display_name),
      h("div", { class: "lane-box", onclick: hear && ((event) => hear(placeIn(event, coverage.duration_ms))) }, lane(participant, coverage.duration_ms)),
      h("p", { class: "lane-words" }, told(participant)));
  }
  const marks = 5;
  lanes.append(h("div", { class: "axis", "aria-hidden": "true" },
    ...Array.from({ length: marks }, (_, number) => h("span", {}, clock((coverage.duration_ms * number) / (marks - 1))))));
  return h("div", { class: "timeline" }, patterns(), lanes, legend(coverage.participants), moments(coverage.participants));
}

/** What was not simply speech or silence, moment by moment, in words. */
function moments(participants) {
  const plain = new Set(["transcribed", "silent"]);
  const spans = participants
    .flatMap((one) => one.intervals.map((interval) => ({ ...interval, who: one.display_name, kind: kindOf(interval) })))
    .filter((span) => !plain.has(span.kind))
    .sort((one, other) => one.start_ms - other.start_ms);
  if (!spans.length) return "";
  return h("details", { class: "moments" },
    h("summary", {}, t("meeting.coverage.moments", { n: spans.length })),
    h("ul", {}, ...spans.map((span) => h("li", {},
      h("span", { class: "span" }, [...new Set([clock(span.start_ms), clock(span.end_ms)])].join("–")), h("b", {}, span.who), t(`kind.${span.kind}`)))));
}

const placeIn = (event, duration) => {
  const box = event.currentTarget.getBoundingClientRect();
  return Math.round((duration * Math.max(0, event.clientX - box.left)) / box.width);
};

/** Shapes tell the kinds apart as colours do: what is drawn full, as a line, striped or dotted. */
function patterns() {
  const stripes = (kind, d) => s("pattern", { id: `look-${kind}`, width: 8, height: 8, patternUnits: "userSpaceOnUse", class: kind },
    s("rect", { class: "ground", width: 8, height: 8 }), s("path", { class: "strokes", d }));
  return s("svg", { class: "patterns", "aria-hidden": "true", width: 0, height: 0 }, s("defs", {},
    stripes("lost", "M0 0l8 8M8 0l-8 8"),
    stripes("withdrawn", "M-2 2l4-4M0 8l8-8M6 10l4-4"),
    stripes("concealed", "M2 2h2v2h-2zM6 6h2v2h-2z"),
    stripes("pending", "M0 2h8M0 6h8")));
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
const length = (milliseconds) => (milliseconds > 0 && milliseconds < 1000 ? "<\u00a00:01" : clock(milliseconds));

const FORMS = { silent: [9, 4], muted: [6, 10], withdrawn: [3, 16] }; // y and height; the others fill the lane
const PATTERNED = new Set(["lost", "withdrawn", "concealed", "pending"]);

const fill = (kind) => (PATTERNED.has(kind) ? { fill: `url(#look-${kind})` } : {});

function lane(participant, duration) {
  const percent = (milliseconds) => `${((100 * milliseconds) / (duration || 1)).toFixed(4)}%`;
  const rects = participant.intervals.flatMap((interval) => {
    const kind = kindOf(interval);
    const [y, height] = FORMS[kind] ?? [0, LANE];
    const [x, width] = [interval.start_ms, interval.end_ms - interval.start_ms];
    const words = `${t(`kind.${kind}`)}: ${clock(interval.start_ms)}–${clock(interval.end_ms)}`;
    return [
      s("rect", { class: "present", x: percent(x), y: 0, width: percent(width), height: LANE }),
      s("rect", { class: kind, x: percent(x), y, width: percent(Math.max(width, duration / 800)), height, ...fill(kind) }, s("title", {}, words)),
    ];
  });
  return s("svg", { class: "lane", role: "img", "aria-label": `${participant.display_name}: ${told(participant)}` }, ...rects);
}

const told = (participant) => [...KINDS.map((kind) => [kind, participant.coverage_ms[kind]]), ["absent", participant.absent_ms]]
  .filter(([, milliseconds]) => milliseconds > 0)
  .map(([kind, milliseconds]) => `${t(`kind.${kind}`)} ${length(milliseconds)}`)
  .join(", ");

function legend(participants) {
  const shown = [...KINDS, "absent"].filter((kind) => sum(participants, kind) > 0);
  return h("ul", { class: "legend" }, ...shown.map((kind) => {
    const [y, height] = FORMS[kind] ?? [0, LANE];
    return h("li", { class: kind },
      s("svg", { class: "swatch", viewBox: `0 0 ${LANE} ${LANE}`, "aria-hidden": "true" },
        s("rect", { class: "present", width: LANE, height: LANE }), s("rect", { class: kind, y, width: LANE, height, ...fill(kind) })),
      t(`kind.${kind}`));
  }));
}
