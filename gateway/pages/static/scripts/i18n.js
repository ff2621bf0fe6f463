// The language of the page: the browser's, until somebody switches it.

import { WORDS } from "/static/scripts/words.js";

const KEPT = "agent.language";

/** Language of the page, "en" or "ru". */
export const language = choose();

function choose() {
  const kept = localStorage.getItem(KEPT);
  if (kept in WORDS) return kept;
  return (navigator.languages ?? [navigator.language]).map((one) => one.slice(0, 2)).find((one) => one in WORDS) ?? "en";
}

const rules = new Intl.PluralRules(language);
const forms = language === "ru" ? ["one", "few", "many"] : ["one", "other"];

/** Return the words for a key; `{n}` chooses among plural forms. */
export function t(key, values = {}) {
  let words = WORDS[language][key] ?? WORDS.en[key] ?? key;
  if ("n" in values && words.includes("|")) {
    const choices = words.split("|");
    const form = forms.indexOf(rules.select(values.n));
    words = choices[form === -1 ? choices.length - 1 : Math.min(form, choices.length - 1)];
  }
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Put the words into a tree whose elements name their keys in `data-t`. */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
}

/** Switch to the other language; the page starts afresh in it. */
export function switchLanguage() {
  localStorage.setItem(KEPT, language === "ru" ? "en" : "ru");
  location.reload();
}
