// The words of the page in the reader's language.

const language = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en";
const known = /^zh/i.test(language) ? "zh" : "en";
document.documentElement.lang = known === "zh" ? "zh-Hans" : "en";

const words = await (await fetch(`/i18n/${known}.json`)).json();

/** The word of `key`, its `{gaps}` filled. */
export function word(key, gaps = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => gaps[name] ?? "");
}

/** Writes words where the page asks for them. */
export function fill(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
    element.title = word(element.dataset.label);
  }
}
