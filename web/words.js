// The words of the page in the reader's language, and dates and numbers as that language has them.

import { prefs } from "./prefs.js";

const wanted = prefs.language === "auto" ? navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en" : prefs.language;

/** `en` or `zh`, whose words these are. */
export const language = /^zh/i.test(wanted) ? "zh" : "en";
/** For `Intl`: the reader's own tag where it fits, since dates differ between countries. */
const locale = wanted.length > 2 ? wanted : navigator.languages.find((tag) => tag.startsWith(language)) ?? language;
document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";

/** @type {Record<string, string>} */
const words = await (await fetch(`/i18n/${language}.json`)).json();

/**
 * The word of `key`, its `{gaps}` filled.
 * @param {string} key
 * @param {Record<string, string | number>} [gaps]
 */
export function word(key, gaps = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(gaps[name] ?? ""));
}

/** @param {string} key */
export const hasWord = (key) => key in words;

const plurals = new Intl.PluralRules(locale);

/**
 * `key_one` or `key_other` by the language's rule.
 * @param {string} key
 * @param {number} count
 */
export function counted(key, count) {
  return word(`${key}_${plurals.select(count) === "one" ? "one" : "other"}`, { count: new Intl.NumberFormat(locale).format(count) });
}

const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(locale, { weekday: "long", month: "long", day: "numeric" });
const dayOfYear = new Intl.DateTimeFormat(locale, { year: "numeric", month: "long", day: "numeric" });
const short = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** @param {string | Date} when */
export const timeOfDay = (when) => clock.format(new Date(when));

/**
 * Today, yesterday, or the day by its name: a heading.
 * @param {string} when
 */
export function dayName(when) {
  const date = new Date(when);
  const days = Math.round((midnight(date) - midnight(new Date())) / 86400000);
  if (days === 0 || days === -1 || days === 1) {
    const text = relative.format(days, "day");
    return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
  }
  return (date.getFullYear() === new Date().getFullYear() ? day : dayOfYear).format(date);
}

/**
 * The time of today, else the day: for the end of a line.
 * @param {string} when
 */
export function shortTime(when) {
  const date = new Date(when);
  const days = Math.round((midnight(date) - midnight(new Date())) / 86400000);
  if (days === 0) return clock.format(date);
  if (days === -1 || days === 1) return relative.format(days, "day");
  return (date.getFullYear() === new Date().getFullYear() ? short : dayOfYear).format(date);
}

/** @param {string} when */
export const fullTime = (when) => `${dayOfYear.format(new Date(when))} ${clock.format(new Date(when))}`;

/**
 * `1:05`, `1:02:05`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] > 0 ? parts : parts.slice(1);
  return shown.map((part, at) => (at === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** @param {number} count */
export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0;
  return new Intl.NumberFormat(locale, { style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: step > 2 ? 1 : 0 }).format(count / 1000 ** step);
}

/**
 * @param {number} value
 * @param {string} unit
 */
export function measure(value, unit) {
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }).format(value);
}

/**
 * Writes words where the page asks for them.
 * @param {ParentNode} root
 */
export function fill(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(/** @type {HTMLElement} */ (element).dataset.word ?? "");
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
  }
}

const share = new Intl.NumberFormat(locale, { style: "percent" });

/** @param {number} hundredths */
export const percent = (hundredths) => share.format(hundredths / 100);
