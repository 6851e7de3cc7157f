// The shell: which view is shown, how the connection is, what waits, what rings.

import { ask } from "./api.js";
import { h, toast } from "./dom.js";
import { showTheme } from "./prefs.js";
import { talk } from "./talk.js";
import { unsent } from "./unsent.js";
import { counted, fill, word } from "./words.js";

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** First word of the address behind `#/`; the element is `magpie-` and its name. A second word is
 * handed to the element of `inner`. @type {Record<string, {title: string, inner?: string, parent?: string}>} */
const VIEWS = {
  talk: { title: "app" },
  memories: { title: "nav_memories" },
  conversations: { title: "nav_conversations", inner: "conversation" },
  timers: { title: "nav_timers" },
  more: { title: "nav_more" },
  queue: { title: "nav_queue", parent: "more" },
  box: { title: "nav_box", parent: "more" },
  settings: { title: "nav_settings", parent: "more" },
  devices: { title: "nav_devices", parent: "settings" },
  happy: { title: "nav_happy", parent: "settings" },
};

/** What the page knows of this device and the box. @type {{role: string, claimed: boolean, https_port: number | null, name: string, device_id?: string | null}} */
export let session = { role: "nobody", claimed: true, https_port: null, name: "magpie" };

fill(document);
showTheme();
showConnection("connecting");
start();

async function start() {
  const claim = new URLSearchParams(location.hash.slice(1)).get("claim");
  // The code is good once and belongs into no history.
  if (claim) history.replaceState(null, "", location.pathname);
  try {
    session = await ask("GET", "/api/v1/session");
  } catch {
    // Opened without the box: what was kept of the page works, and recordings wait here.
    if (localStorage.getItem("paired")) return open();
    showConnection("closed");
    setTimeout(start, 3000);
    return;
  }
  if (session.role === "nobody" || claim) await showPairing(claim);
  else open();
}

/** @param {string | null} code */
async function showPairing(code) {
  showConnection("unpaired");
  document.body.classList.add("bare");
  $("nav").hidden = true;
  await import("./el/magpie-pair.js");
  const pair = h("magpie-pair", { session, code: code ?? "" });
  pair.addEventListener("paired", () => location.reload());
  $("main").replaceChildren(pair);
}

async function open() {
  localStorage.setItem("paired", "1");
  document.body.classList.remove("bare");
  $("nav").hidden = false;
  await import("./el/magpie-talk.js");
  $("main").replaceChildren(h("magpie-talk", { session }));
  addEventListener("hashchange", route);
  await route();
  talk.start();
  import("./el/magpie-ringing.js").then(() => document.body.append(h("magpie-ringing")));
  keepShell();
}

addEventListener("unpaired", () => {
  if (!document.body.classList.contains("bare") && session.role !== "nobody") {
    localStorage.removeItem("paired");
    location.reload();
  }
});

// Views.

let shown = "";

async function route() {
  const [name = "talk", id = ""] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  const view = VIEWS[name] ?? VIEWS.talk;
  const known = name in VIEWS ? name : "talk";
  const element = id && view.inner ? view.inner : known;
  const main = $("main");
  const isFirst = shown === "";
  const path = `${known}/${id}`;
  if (shown === path) return;
  shown = path;
  // Going back closes what stands above a view; what rings stays.
  for (const dialog of document.querySelectorAll("body > dialog[open]")) /** @type {HTMLDialogElement} */ (dialog).close();
  for (const link of document.querySelectorAll("#nav a")) {
    const target = link.getAttribute("href")?.slice(2);
    const isHere = target === known || (target === "more" && (view.parent === "more" || view.parent === "settings")) || (target === "settings" && view.parent === "settings");
    if (isHere && !link.classList.contains("brand")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const parent = id && view.inner ? known : view.parent;
  const back = $("back");
  back.hidden = !parent;
  back.classList.toggle("narrow", parent === "more");
  if (parent) back.setAttribute("href", `#/${parent}`);
  /** @type {HTMLElement} */ (document.querySelector("header img")).hidden = Boolean(parent);
  setTitle(word(view.title));
  if (element !== "talk") await import(`./el/magpie-${element}.js`);
  if (shown !== path) return;
  const current = /** @type {any} */ (main.lastElementChild);
  if (current?.localName === `magpie-${element}` && current.show) return current.show(id);
  // The talk stays, with its words and its place; the other views are made anew.
  const talking = /** @type {HTMLElement} */ (main.querySelector("magpie-talk"));
  for (const child of [...main.children]) if (child !== talking) child.remove();
  talking.hidden = element !== "talk";
  if (element !== "talk") main.append(h(`magpie-${element}`, { session, ...(id ? { item: id } : {}) }));
  main.scrollTop = 0;
  if (!isFirst) main.focus({ preventScroll: true });
}

/** @param {string} title */
function setTitle(title) {
  $("title").textContent = title;
  document.title = title === word("app") ? title : `${title} · ${word("app")}`;
}

addEventListener("title", (event) => setTitle(/** @type {CustomEvent} */ (event).detail));

// Connection and what waits.

talk.link.addEventListener("open", () => {
  showConnection("open");
  countWaiting();
});
talk.link.addEventListener("closed", () => showConnection("closed"));

/** @param {string} state */
function showConnection(state) {
  $("connection").dataset.state = state;
  /** @type {HTMLElement} */ ($("connection").firstElementChild).textContent = word(`connection_${state}`);
}

let onBox = 0;

async function countWaiting() {
  try {
    const { queue } = await ask("GET", "/health");
    onBox = (queue?.pending ?? 0) + (queue?.failed ?? 0);
  } catch {
    // Not reached: what was known last stands.
  }
  showBadge();
}

function showBadge() {
  const count = unsent.count + onBox;
  $("badge").hidden = count === 0;
  $("badge").replaceChildren(h("b", {}, counted("waiting", count)));
}

unsent.addEventListener("change", showBadge);
talk.addEventListener("job", countWaiting);
addEventListener("queue", countWaiting);
setInterval(() => {
  if (document.visibilityState === "visible" && talk.link.isOpen) countWaiting();
}, 30000);

// Late answers and other things that the box has to say by itself.
talk.addEventListener("notice", (event) => {
  const { text, message, event: what, data } = /** @type {CustomEvent} */ (event).detail;
  const said = what === "late_answer" || what === "note_stored" ? word(what, data) : text ?? message;
  if (said) toast(said);
});

// Said aloud by a screen reader, once.
talk.addEventListener("said", (event) => {
  $("said").textContent = /** @type {CustomEvent} */ (event).detail;
});

// The page on the phone, for when the box is away; a new one is taken when a person says so.

async function keepShell() {
  if (!("serviceWorker" in navigator) || !window.isSecureContext) return;
  try {
    const kept = await navigator.serviceWorker.register("/sw.js");
    const offer = (/** @type {ServiceWorker | null} */ worker) => {
      if (!worker || !navigator.serviceWorker.controller) return;
      const take = () => worker.state === "installed" && toast(word("new_version"), h("button", { type: "button", onclick: () => worker.postMessage("now") }, word("reload")));
      take();
      worker.addEventListener("statechange", take);
    };
    offer(kept.waiting);
    kept.addEventListener("updatefound", () => offer(kept.installing));
    let hadOne = Boolean(navigator.serviceWorker.controller);
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      if (hadOne) location.reload();
      hadOne = true;
    });
  } catch {
    // A browser that allows none shows the page only while the box is there.
  }
}
