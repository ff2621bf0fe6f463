// The player of a recording. Nothing is fetched until somebody wants to hear it: an installation makes the file then.

import { h, icon, say } from "/static/scripts/dom.js";
import { t } from "/static/scripts/i18n.js";
import { playable } from "/static/scripts/sound.js";
import { clock } from "/static/scripts/time.js";

const STEP = 5_000;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];

/** Fills a place with controls. `path` names the recording, `length` its milliseconds; `heard(milliseconds, playing)` is
 *  called for each picture while it plays and after each jump.
 *
 *  Programs read how it stands from the place's `data-state`: idle, loading, playing, paused or failed. */
export class Player {
  constructor(place, { path, length, heard }) {
    this.place = place;
    this.path = path;
    this.heard = heard;
    this.wanted = 0;
    this.wished = false; // that it plays
    this.audio = h("audio", { preload: "none" });
    this.button = h("button", { class: "play", type: "button", onclick: () => this.toggle() });
    this.slider = h("input", { class: "seek", type: "range", min: 0, max: Math.max(1, length), step: 100, value: 0, "aria-label": t("player.place"), oninput: () => this.#move(Number(this.slider.value)) });
    this.time = h("span", { class: "player-time" });
    this.speed = h("select", { class: "speed", "aria-label": t("player.speed"), onchange: () => { this.audio.playbackRate = Number(this.speed.value); } },
      ...SPEEDS.map((speed) => h("option", { value: speed, selected: speed === 1 }, `${speed}×`)));
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.length = length;
    place.replaceChildren(h("div", { class: "player-row" }, this.button, this.slider, this.time, this.speed), this.problem, this.audio);
    for (const event of ["pause", "ended"]) this.audio.addEventListener(event, () => { this.wished = false; });
    this.audio.addEventListener("play", () => { this.wished = true; }); // a keyboard's own keys do that, too
    for (const event of ["playing", "pause", "ended", "waiting"]) this.audio.addEventListener(event, () => this.#draw());
    this.audio.addEventListener("seeked", () => this.#tell());
    this.audio.addEventListener("loadedmetadata", () => this.#loaded());
    this.audio.addEventListener("error", () => this.#fail(t("player.failed")));
    this.#draw();
    this.#tell();
  }

  /** Where it is, in milliseconds. */
  get position() {
    return this.audio.readyState ? this.audio.currentTime * 1000 : this.wanted;
  }

  /** Hear what was said at a time. */
  async from(milliseconds) {
    this.#move(milliseconds);
    await this.play();
  }

  async play() {
    say(this.problem);
    this.wished = true;
    try {
      if (!this.audio.hasAttribute("src") || this.audio.error) await this.#open();
      if (!this.wished) return; // somebody changed their mind meanwhile
      await this.audio.play();
    } catch (problem) {
      if (problem.name !== "AbortError") this.#fail(problem.status === undefined ? t("player.failed") : problem.message);
      return;
    }
    this.#run();
  }

  toggle() {
    if (!this.wished) {
      this.play();
      return;
    }
    this.wished = false;
    this.audio.pause();
    this.#draw();
  }

  /** Jump by some seconds; back if negative. */
  step(direction) {
    this.#move(this.position + direction * STEP);
  }

  close() {
    this.closed = true;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  async #open() {
    this.#draw();
    this.opening ??= playable(this.path).finally(() => { this.opening = null; });
    const address = await this.opening;
    if (this.audio.getAttribute("src") === address && !this.audio.error) return; // another call was first
    this.audio.src = address;
    this.audio.load();
  }

  #loaded() {
    if (Number.isFinite(this.audio.duration)) this.length = this.audio.duration * 1000;
    this.slider.max = String(this.length);
    this.audio.playbackRate = Number(this.speed.value);
    if (this.wanted) this.audio.currentTime = this.wanted / 1000;
    this.#tell();
  }

  #move(milliseconds) {
    this.wanted = Math.min(Math.max(0, milliseconds), this.length);
    if (this.audio.readyState) this.audio.currentTime = this.wanted / 1000;
    this.#tell(this.wanted);
  }

  #run() {
    cancelAnimationFrame(this.frame);
    this.#tell();
    if (!this.audio.paused) this.frame = requestAnimationFrame(() => this.#run());
  }

  #tell(place = this.position) {
    this.slider.value = String(place);
    this.slider.style.setProperty("--done", String(this.length ? place / this.length : 0));
    const words = `${clock(place)} / ${clock(this.length)}`;
    if (this.time.textContent !== words) {
      this.time.textContent = words;
      this.slider.setAttribute("aria-valuetext", t("player.at", { when: clock(place), whole: clock(this.length) }));
    }
    this.heard(place, !this.audio.paused);
  }

  #fail(sentence) {
    if (this.closed) return;
    this.wished = false;
    say(this.problem, sentence);
    this.#draw("failed");
  }

  #draw(state) {
    const { audio } = this;
    const running = this.wished && (audio.paused || audio.readyState < 3) ? "loading" : this.wished ? "playing" : audio.hasAttribute("src") ? "paused" : "idle";
    const now = state ?? (audio.error && !this.opening ? "failed" : running);
    this.place.dataset.state = now;
    this.button.replaceChildren(icon(this.wished ? "pause" : "play"));
    this.button.setAttribute("aria-label", t(this.wished ? "player.pause" : "player.play"));
  }
}
