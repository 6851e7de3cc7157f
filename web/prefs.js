// What this device alone remembers: language, colours, sound.

/** @typedef {{language: "auto"|"en"|"zh", theme: "auto"|"light"|"dark", sound: boolean, session: string}} Prefs */

const KEY = "magpie";
/** @type {Prefs} */
const DEFAULTS = { language: "auto", theme: "auto", sound: true, session: "" };

/** @type {Prefs} */
export const prefs = { ...DEFAULTS, ...read() };

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    // A browser that keeps nothing gets the defaults each time.
    return {};
  }
}

/** @param {Partial<Prefs>} changed */
export function setPrefs(changed) {
  Object.assign(prefs, changed);
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // As above: it holds until the page is closed.
  }
  showTheme();
}

/** Light, dark or as the system has it. */
export function showTheme() {
  document.documentElement.dataset.theme = prefs.theme;
  const dark = prefs.theme === "dark" || (prefs.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.querySelector("meta[name=theme-color]")?.setAttribute("content", dark ? "#121417" : "#f7f6f3");
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
