// The trust guide: one language of the two, the steps of this system opened, and a look whether
// the certificate is trusted already. Without this script the page says all the same.

const LOOK_MS = 3000;

let language = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag))?.slice(0, 2) ?? "en";
try {
  const chosen = JSON.parse(localStorage.getItem("magpie") ?? "{}").language;
  if (chosen === "en" || chosen === "zh") language = chosen;
} catch {
  // The browser's own language then.
}

const button = /** @type {HTMLButtonElement} */ (document.getElementById("language"));
button.hidden = false;
button.addEventListener("click", () => show(language === "en" ? "zh" : "en"));
show(language);

/** @param {string} chosen */
function show(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
  document.title = chosen === "zh" ? "Magpie：信任这台盒子" : "Magpie: trust this box";
  button.textContent = chosen === "zh" ? "English" : "中文";
  button.lang = chosen === "zh" ? "en" : "zh-Hans";
  for (const section of document.querySelectorAll("[data-language]")) /** @type {HTMLElement} */ (section).hidden = /** @type {HTMLElement} */ (section).dataset.language !== chosen;
}

/** @type {[string, RegExp][]} */
const SYSTEMS = [
  ["ios", /iPhone|iPad/],
  ["android", /Android/],
  ["windows", /Windows/],
  ["mac", /Macintosh/],
  ["linux", /Linux|CrOS/],
];
const system = SYSTEMS.find(([, pattern]) => pattern.test(navigator.userAgent))?.[0];
for (const details of document.querySelectorAll("details")) details.open = details.dataset.system === system;

watch();

async function watch() {
  if (location.protocol === "https:") return tell(true, `${location.origin}/`);
  const session = await fetch("/api/v1/session").then((answer) => answer.json()).catch(() => null);
  const port = session?.data?.https_port;
  if (!port) return;
  const secure = `https://${location.hostname}:${port}/`;
  for (const link of document.querySelectorAll("a[data-secure]")) /** @type {HTMLAnchorElement} */ (link).href = secure;
  for (;;) {
    // What comes back does not matter: without trust nothing comes back.
    const trusted = await fetch(`${secure}health`, { mode: "no-cors", cache: "no-store" }).then(() => true, () => false);
    tell(trusted, secure);
    if (trusted) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/**
 * @param {boolean} trusted
 * @param {string} secure
 */
function tell(trusted, secure) {
  for (const element of document.querySelectorAll("[data-trusted]")) {
    const notice = /** @type {HTMLElement} */ (element);
    notice.hidden = notice.dataset.trusted !== (trusted ? "yes" : "no");
  }
  for (const link of document.querySelectorAll("a[data-secure]")) /** @type {HTMLAnchorElement} */ (link).href = secure;
}
