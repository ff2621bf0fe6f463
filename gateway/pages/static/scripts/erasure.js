// Erasing a meeting, which nobody can undo: whoever wants it types a word first.

import { call } from "/static/scripts/api.js";
import { explain } from "/static/scripts/bar.js";
import { h, say } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";

/** Ask, erase, and call `erased()`. */
export function askErasure({ path, title, erased }) {
  const word = t("erase.word");
  const typed = h("input", { name: "word", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, id: "erase-word" });
  const reason = h("input", { name: "reason", maxlength: 200, autocomplete: "off" });
  const yes = h("button", { class: "button stop", type: "submit", disabled: true }, t("erase.yes"));
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const same = () => typed.value.trim().toLowerCase() === word.toLowerCase();
  typed.addEventListener("input", () => { yes.disabled = !same(); });
  const erase = async (event) => {
    event.preventDefault();
    if (!same()) return;
    yes.disabled = true;
    say(problem);
    try {
      await call(`${path}?${new URLSearchParams({ reason: reason.value.trim() })}`, { method: "DELETE" });
    } catch (failure) {
      say(problem, explain(failure));
      yes.disabled = false;
      return;
    }
    dialog.close();
    erased();
  };
  const dialog = h("dialog", { class: "dialog", id: "erase-dialog", "aria-labelledby": "erase-title", onclose: () => dialog.remove() },
    h("form", { method: "dialog", onsubmit: erase },
      h("h2", { id: "erase-title" }, t("erase.title", { title })),
      h("p", {}, t("erase.text")),
      problem,
      h("label", { class: "field" }, h("span", {}, t("erase.reason")), reason),
      h("label", { class: "field" }, h("span", {}, t("erase.type", { word })), typed),
      h("div", { class: "dialog-buttons" },
        h("button", { class: "button quiet", type: "button", onclick: () => dialog.close() }, t("cancel")),
        yes)));
  document.body.append(dialog);
  dialog.showModal();
  typed.focus();
}
