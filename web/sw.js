// Keeps the page itself on the phone, so that it opens without the box and can go on recording.
// One version whole or none: a new one waits until the page asks for it.

const VERSION = "magpie-{{version}}";
const KEPT = "{{kept}}".split(" ");

self.addEventListener("install", (event) => {
  const fetchAll = async () => {
    const cache = await caches.open(VERSION);
    await cache.addAll(KEPT.map((path) => new Request(path, { cache: "no-cache" })));
  };
  event.waitUntil(fetchAll());
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) if (name.startsWith("magpie-") && name !== VERSION) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("message", ({ data }) => {
  if (data === "now") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin || !KEPT.includes(pathname)) return;
  const answer = async () => (await (await caches.open(VERSION)).match(pathname)) ?? fetch(event.request);
  event.respondWith(answer());
});
