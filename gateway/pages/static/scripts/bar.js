// The bar on top of every page: where we are, who we are, light or dark, which language.

import { key } from "/static/scripts/api.js";
import { at, h, icon, say } from "/static/scripts/dom.js";
import { switchLanguage, t } from "/static/scripts/i18n.js";

let dialog;

/** Fill the bar; `signal` is one more element for it. */
export function showBar(signal = null) {
  const signed = h("button", { class: "bar-button", type: "button", id: "sign-in", onclick: () => askKey() });
  at("bar").append(
    h("a", { class: "brand", href: "/" }, h("img", { src: "/static/mark.svg", alt: "", width: 26, height: 26 }), h("span", {}, t("brand"))),
    signal ?? "",
    h("div", { class: "bar-buttons" },
      signed,
      h("button", { class: "bar-button", type: "button", title: t("language.hint"), onclick: switchLanguage }, t("language")),
      h("button", { class: "bar-button round", type: "button", "aria-label": t("theme"), title: t("theme"), onclick: switchTheme }, icon("theme")),
    ),
  );
  showSigned();
}

function showSigned() {
  at("sign-in").replaceChildren(icon("key"), h("span", {}, t(key.get() ? "key.in" : "key")));
}

function switchTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("agent.theme", root.dataset.theme);
}

/** Ask for an API key; the page starts afresh with it. */
export function askKey(sentence) {
  dialog ??= makeDialog();
  say(dialog.querySelector(".problem"), sentence);
  dialog.querySelector("input").value = key.get();
  if (!dialog.open) dialog.showModal();
}

function makeDialog() {
  const made = h("dialog", { class: "dialog", id: "key-dialog", "aria-labelledby": "key-title" },
    h("form", { method: "dialog", onsubmit: (event) => keep(event, new FormData(event.target).get("key").trim()) },
      h("h2", { id: "key-title" }, t("key.title")),
      h("p", {}, `${t("key.needed")} ${t("key.text")}`),
      h("p", { class: "problem", role: "alert", hidden: true }),
      h("label", { class: "field" }, h("span", {}, t("key.field")),
        h("input", { name: "key", type: "password", autocomplete: "off", spellcheck: "false" })),
      h("div", { class: "dialog-buttons" },
        key.get()
          ? h("button", { class: "button quiet", type: "button", onclick: (event) => keep(event, "") }, t("key.forget"))
          : h("button", { class: "button quiet", type: "button", onclick: () => made.close() }, t("cancel")),
        h("button", { class: "button primary", type: "submit" }, t("key.save")))));
  document.body.append(made);
  return made;
}

function keep(event, value) {
  event.preventDefault();
  key.set(value);
  location.reload();
}

/** Act on a failed call: a missing or wrong key is asked for; returns the sentence to show. */
export function explain(problem) {
  if (problem.status === 401) askKey(key.get() ? t("key.wrong") : "");
  return problem.message;
}
