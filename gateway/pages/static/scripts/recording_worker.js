// Shows the page's key with the requests of its <audio> element. It keeps nothing: it asks the page each time.

const PATIENCE = 5_000;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const sound = origin === location.origin && /^\/v1\/meetings\/[^/]+\/audio$/.test(pathname);
  if (sound && request.method === "GET" && !request.headers.has("x-api-key")) event.respondWith(withKey(request, event.clientId));
});

async function withKey(request, clientId) {
  const headers = new Headers();
  const key = await keyOf(await clients.get(clientId));
  if (key) headers.set("x-api-key", key);
  for (const name of ["range", "if-range"]) if (request.headers.has(name)) headers.set(name, request.headers.get(name));
  return fetch(request.url, { headers, signal: request.signal });
}

function keyOf(page) {
  if (!page) return "";
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (event) => done(event.data);
    setTimeout(() => done(""), PATIENCE);
    page.postMessage("key", [port2]);
  });
}
