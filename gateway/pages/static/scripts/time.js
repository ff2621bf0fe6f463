// Times as people read them.

import { language } from "/static/scripts/i18n.js";

const two = (number) => String(number).padStart(2, "0");

/** "4:06" or "1:02:09" for milliseconds on a meeting's timeline. */
export function clock(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

const dayFormat = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const hourFormat = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const wholeFormat = new Intl.DateTimeFormat(language, { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dateFormat = new Intl.DateTimeFormat(language, { day: "numeric", month: "long", timeZone: "UTC" });

export const day = (iso) => dayFormat.format(new Date(iso));
export const hour = (iso) => hourFormat.format(new Date(iso));
export const moment = (iso) => wholeFormat.format(new Date(iso));
/** A date without a time, "2026-11-27". */
export const date = (iso) => dateFormat.format(new Date(`${iso}T00:00:00Z`));
