// Calls to the gateway, with the caller's key, and failures as problems.

import { t } from "/static/scripts/i18n.js";

const KEPT = "agent.key";

/** The API key of this tab; empty where the installation asks for none. */
export const key = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEPT, value) : sessionStorage.removeItem(KEPT)),
};

/** A failed call: `status` is 0 when the gateway was not reached, `reason` a value of the contract's ErrorReason. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title);
    this.status = document.status;
    this.reason = document.reason ?? "";
    this.retryAfterSeconds = document.retryAfterSeconds;
  }
}

/** Make a call and return the response. Throws a Problem. */
export async function call(path, { method = "GET", body } = {}) {
  const headers = { accept: "application/json" };
  if (key.get()) headers["x-api-key"] = key.get();
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem({ status: 0, detail: t("problem.network") });
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({ title: response.statusText }));
  const retryAfterSeconds = Number(response.headers.get("retry-after")) || undefined;
  throw new Problem({ ...document, status: response.status, retryAfterSeconds });
}

export const get = async (path) => (await call(path)).json();
export const post = async (path, body = {}) => (await call(path, { method: "POST", body })).json();

/** Return the address of a WebSocket of this gateway. */
export const socketAddress = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

/** Hand a file to the person at the browser; a plain link could not carry the key. */
export async function download(path, name) {
  const url = URL.createObjectURL(await (await call(path)).blob());
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
