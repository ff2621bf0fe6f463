// The report: every claim with the words it rests on; a quotation leads to its place in the transcript.

import { h } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { tone } from "/static/scripts/people.js";
import { clock, date, moment } from "/static/scripts/time.js";

/** Return the report's parts; `choose(evidence)` is called when somebody follows a quotation. */
export function reportParts(report, choose) {
  const quotes = (claim) => claim.evidence.map((one) => quotation(one, choose));
  const claims = (list) => list.map((claim) => h("li", { class: "claim" }, sameWords(claim) ? null : h("p", {}, claim.text), ...quotes(claim)));
  return [
    h("p", { class: "headline" }, report.headline),
    ...report.warnings.map((warning) => h("p", { class: "warning" }, warning)),
    part("report.moments", "claims", claims(report.key_moments)),
    part("report.questions", "claims", report.questions.map((question) => questionItem(question, choose))),
    part("report.actions", "claims", report.actions.map((action) => actionItem(action, quotes))),
    part("report.decisions", "claims", claims(report.decisions)),
    part("report.risks", "claims", claims(report.risks)),
    part("report.phrases", "phrases", report.key_phrases.map((phrase) => phraseItem(phrase, choose))),
    report.talk ? part("report.talk", "talk", report.talk.speakers.map(talker)) : null,
    provenance(report),
  ].filter(Boolean);
}

/** A claim that is its own quotation is shown once. */
const sameWords = (claim) => claim.evidence.length === 1 && claim.evidence[0].quote.trim() === claim.text.trim();

function part(title, look, items) {
  if (!items.length) return null;
  const id = title.replace(".", "-");
  return h("section", { class: "report-part", "aria-labelledby": id }, h("h2", { id }, t(title)), h("ul", { class: look }, ...items));
}

function quotation(evidence, choose, source = `${evidence.speaker}, ${clock(evidence.start_ms)}`) {
  return h("a", { class: `evidence ${tone(evidence.participant_id)}`, href: `#s-${evidence.segment_id}`, data: { segment: evidence.segment_id }, onclick: (event) => follow(event, evidence, choose) },
    h("q", {}, evidence.quote),
    h("span", { class: "source" }, source));
}

function follow(event, evidence, choose) {
  event.preventDefault();
  history.pushState(null, "", `#s-${evidence.segment_id}`);
  choose(evidence);
}

function questionItem(question, choose) {
  const who = question.answered
    ? t("report.asks_of", { who: question.asked_by, whom: question.answered_by })
    : t("report.asks", { who: question.asked_by });
  return h("li", { class: "claim" },
    h("div", { class: "asked" },
      sameWords(question.question) ? null : h("p", {}, question.question.text),
      ...question.question.evidence.map((one) => quotation(one, choose, `${who}, ${clock(one.start_ms)}`))),
    question.answered
      ? h("div", { class: "answer" }, ...question.answer.flatMap((claim) => claim.evidence.map((one) => quotation(one, choose))))
      : h("p", { class: "meta" }, t("report.unanswered")));
}

function actionItem(action, quotes) {
  const kind = action.kind === "ACTION_KIND_REQUEST" ? "report.request" : "report.commitment";
  const due = action.due_date ? t("report.due", { date: date(action.due_date) }) : action.due_text;
  return h("li", { class: "claim" },
    h("p", { class: "meta" }, h("b", {}, action.owner || "—"), ` · ${[t(kind), due].filter(Boolean).join(" · ")}`),
    sameWords(action.claim) ? null : h("p", {}, action.claim.text),
    ...quotes(action.claim));
}

function phraseItem(phrase, choose) {
  const [evidence] = phrase.evidence;
  return h("li", {}, h("a", { class: "phrase", href: `#s-${evidence.segment_id}`, onclick: (event) => follow(event, evidence, choose) },
    phrase.phrase, phrase.count > 1 ? h("small", {}, `×${phrase.count}`) : null));
}

function talker(speaker) {
  const numbers = [
    clock(speaker.talk_ms),
    t("report.words", { n: speaker.words }),
    t("report.turns", { n: speaker.turns }),
    t("report.wpm", { n: Math.round(speaker.words_per_minute) }),
  ];
  return h("li", { class: `talker ${tone(speaker.participant_id)}`, vars: { share: String(speaker.talk_ratio) } },
    h("b", {}, speaker.speaker), h("span", {}, `${Math.round(100 * speaker.talk_ratio)} %`),
    h("span", { class: "track" }, h("span")),
    h("span", { class: "numbers" }, numbers.join(" · ")));
}

function provenance(report) {
  const made = report.provenance;
  if (!made) return null;
  const values = { when: made.create_time ? moment(made.create_time) : "", n: made.segments, engine: made.speech_engines.join(", ") };
  const bill = made.speech_cost_usd > 0 ? t("report.bill", { amount: (Math.ceil(made.speech_cost_usd * 100 - 1e-6) / 100).toFixed(2) }) : "";
  return h("p", { class: "provenance" }, [t("report.provenance", values), bill].filter(Boolean).join(" · "));
}
