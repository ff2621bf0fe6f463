// Elements made from values: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element: attributes, `on...` listeners, `data` values, then children. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "vars") for (const [key, text] of Object.entries(value)) element.style.setProperty(`--${key}`, text);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return the element with an id. */
export const at = (id) => document.getElementById(id);

/** Show a sentence in a place that is hidden while there is none. */
export function say(element, sentence) {
  element.textContent = sentence ?? "";
  element.hidden = !sentence;
}

const PATHS = {
  microphone: ["M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3Z", "M6 11a6 6 0 0 0 12 0", "M12 17v4"],
  muted: ["M9 7V6a3 3 0 0 1 6 0v4.5", "M9 10.5v.5a3 3 0 0 0 4.6 2.5", "M6 11a6 6 0 0 0 9.5 4.9", "M18 11a6 6 0 0 1-.4 2.2", "M12 17v4", "M4 4l16 16"],
  record: ["M12 4.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15Z", "M12 9.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6Z"],
  unrecorded: ["M6.7 6.7a7.5 7.5 0 1 0 10.6 10.6M19.3 13.6A7.5 7.5 0 0 0 10.4 4.7", "M4 4l16 16"],
  send: ["M5 12h13", "M12.5 6.5 18 12l-5.5 5.5"],
  leave: ["M10 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19H10", "M14 8l4 4-4 4", "M18 12H9.5"],
  finish: ["M7 7h10v10H7z"],
  download: ["M12 4v11", "M7.5 10.8 12 15.3l4.5-4.5", "M5 19.5h14"],
  key: ["M14.5 4.5a5 5 0 1 1-4.3 7.5L4 18.2V20h3v-2h2v-2h1.8l1.4-1.4", "M16 8.5h.01"],
  theme: ["M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8Z"],
  arrow: ["M5 12h13", "M13 7l5 5-5 5"],
  warning: ["M12 4.5 3.8 19h16.4L12 4.5Z", "M12 10v4", "M12 16.6h.01"],
  play: ["M8 5.5v13l10.5-6.5L8 5.5Z"],
  pause: ["M8.5 6v12", "M15.5 6v12"],
  search: ["M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12Z", "M15 15l5 5"],
  erase: ["M5 7h14", "M9.5 7V5h5v2", "M7 7l.8 12.5h8.4L17 7", "M10.3 10.5v5.5", "M13.7 10.5v5.5"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
};

/** Return an icon of 24 units, drawn with the text's colour. */
export function icon(name) {
  const shapes = PATHS[name].map((d) => s("path", { d }));
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, ...shapes);
}
