// What can be taken away: the files that were made of a meeting, and its sound.

import { download, get } from "/static/scripts/api.js";
import { h, icon } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";

const SOUND = ["mp3", "opus", "flac"];

/** Fill a place with a button and its list of files. `failed(problem)` is called when one cannot be had. */
export async function showExports(place, { path, name, failed }) {
  const { artifacts } = await get(`${path}/artifacts`).catch(() => ({ artifacts: [] })); // there are none yet
  const save = (button, from, to) => {
    button.disabled = true;
    download(from, to).catch(failed).finally(() => { button.disabled = false; });
  };
  const file = (words, hint, from, to) => h("button", { type: "button", title: hint, onclick: (event) => save(event.currentTarget, from, to) }, words);
  const kinds = [...new Set(artifacts.map((one) => one.kind))].map((kind) => [
    h("h3", {}, t(`artifact.${kind}`)),
    h("div", {}, ...artifacts.filter((one) => one.kind === kind).map(({ fmt, content_type: type }) =>
      file(fmt, `${t(`artifact.${kind}`)}, ${type}`, `${path}/artifact?${new URLSearchParams({ kind, fmt })}`, `${name}-${kind}.${fmt}`))),
  ]);
  const sound = [
    h("h3", {}, t("artifact.audio")),
    h("div", {}, ...SOUND.map((format) => file(format, `${t("artifact.audio")}, ${format}`, `${path}/audio?format=${format}`, `${name}.${format}`))),
  ];
  const menu = h("div", { class: "menu", hidden: true, id: "menu" }, ...kinds.flat(), ...sound);
  const button = h("button", { class: "button quiet small", type: "button", "aria-expanded": "false", "aria-controls": "menu" }, icon("download"), t("downloads"));
  const show = (open) => { menu.hidden = !open; button.setAttribute("aria-expanded", String(open)); };
  button.addEventListener("click", () => show(menu.hidden));
  document.addEventListener("click", (event) => place.contains(event.target) || show(false));
  place.addEventListener("focusout", (event) => event.relatedTarget && !place.contains(event.relatedTarget) && show(false));
  place.onkeydown = (event) => { if (event.key === "Escape" && !menu.hidden) { show(false); button.focus(); } };
  place.replaceChildren(button, menu);
}
