// Conversations: what was said, newest first, by day; found by any word.

import { ask, sentence } from "../api.js";
import { blank, h, icon, list, loading } from "../dom.js";
import { counted, dayName, language, timeOfDay, word } from "../words.js";

const PAGE = 50;
const TYPING_MS = 300;

class Conversations extends HTMLElement {
  #day = h("div");
  #list = h("div");
  #more = h("div.row.end");
  #search = h("input", { type: "search", autocomplete: "off", "aria-label": word("conversations_search"), placeholder: word("conversations_search") });
  /** @type {any[]} */
  #items = [];
  #asked = 0;

  connectedCallback() {
    if (this.childElementCount > 0) return;
    let timer = 0;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#load(), TYPING_MS);
    });
    this.append(h("div.search", { role: "search" }, icon("search"), this.#search), this.#day, this.#list, this.#more);
    this.#list.append(loading());
    this.#load();
    this.#loadDay();
  }

  /** Today in a few sentences. */
  async #loadDay() {
    try {
      const { text, counts } = await ask("GET", `/api/v1/summary?language=${language}`);
      const isEmpty = counts.memories + counts.messages + counts.timers === 0;
      this.#day.replaceChildren(...(isEmpty ? [] : [h("details.day", {}, h("summary", {}, word("summary_today")), h("p.lines", {}, text))]));
    } catch {
      // The conversations themselves say what is wrong.
    }
  }

  async #load(offset = 0) {
    const asked = ++this.#asked;
    const words = this.#search.value.trim();
    const query = new URLSearchParams({ limit: String(PAGE), offset: String(offset), ...(words ? { q: words } : {}) });
    try {
      const { conversations, total } = await ask("GET", `/api/v1/conversations?${query}`);
      if (asked !== this.#asked) return;
      this.#items = offset > 0 ? [...this.#items, ...conversations] : conversations;
      this.#draw(words);
      this.#day.hidden = words !== "";
      const more = this.#items.length < total && h("button", { type: "button", onclick: () => this.#load(this.#items.length) }, word("show_more"));
      this.#more.replaceChildren(...(more ? [more] : []));
    } catch (error) {
      this.#list.replaceChildren(blank("offline", word("not_loaded"), sentence(error), h("button", { type: "button", onclick: () => this.#load() }, word("retry"))));
    }
  }

  /** @param {string} words */
  #draw(words) {
    if (this.#items.length === 0) {
      const nothing = words ? blank("search", word("nothing_found"), word("nothing_found_text", { words })) : blank("chat", word("conversations_empty"), word("conversations_empty_text"), h("a.button.primary", { href: "#/talk" }, word("nav_talk")));
      this.#list.replaceChildren(nothing);
      return;
    }
    /** @type {Map<string, any[]>} */
    const days = new Map();
    for (const item of this.#items) {
      const day = dayName(item.updated_at);
      days.set(day, [...(days.get(day) ?? []), item]);
    }
    for (const child of [...this.#list.children]) if (!(/** @type {HTMLElement} */ (child).dataset.key)) child.remove();
    list(this.#list, [...days.keys()], (day) => day, (day) => h("section.section", {}, h("h2", {}, h("span.small.quiet", {}, day)), h("div.list.flush")));
    for (const section of this.#list.children) {
      const items = days.get(/** @type {HTMLElement} */ (section).dataset.key ?? "") ?? [];
      list(/** @type {Element} */ (section.lastElementChild), items, (item) => `${item.id} ${item.updated_at} ${item.summary}`, line);
    }
  }
}

/** @param {any} item */
function line(item) {
  return h(
    "a.item",
    { href: `#/conversations/${item.id}` },
    h("span.grow", {}, h("span.one", {}, item.summary || word("conversation_untitled")), h("span.small.quiet", {}, `${timeOfDay(item.updated_at)} · ${counted("messages", item.message_count)}`)),
    icon("next"),
  );
}

customElements.define("magpie-conversations", Conversations);
