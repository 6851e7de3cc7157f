// Memories: found while typing, narrowed by tag and category; each opens as a card.

import { ask, Refusal, sentence } from "../api.js";
import { blank, confirm, h, icon, iconButton, list, loading, open, toast } from "../dom.js";
import { hasWord, shortTime, word } from "../words.js";
import { openMemory } from "./magpie-memory.js";

const PAGE = 50;
const TYPING_MS = 250;
const TAGS_MAX = 30;
/** What a tag has until somebody gives it another. */
const PLAIN_COLOR = "#3B82F6";

class Memories extends HTMLElement {
  item = "";
  #suggested = h("div");
  #chips = h("div.chips", { role: "group", "aria-label": word("memories_filter") });
  #list = h("div.list");
  #more = h("div.row.end");
  #found = h("p.unseen", { role: "status" });
  #search = h("input", { type: "search", id: "memory-search", autocomplete: "off", "aria-label": word("memories_search"), placeholder: word("memories_search") });
  /** @type {any[]} */
  #items = [];
  /** `tag` or `category` and its name. @type {{kind: string, name: string} | null} */
  #filter = null;
  #asked = 0;
  #tags = /** @type {any[]} */ ([]);

  connectedCallback() {
    if (this.childElementCount > 0) return;
    let timer = 0;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#load(), TYPING_MS);
    });
    this.append(h("div.search", { role: "search" }, icon("search"), this.#search), this.#suggested, this.#chips, this.#found, this.#list, this.#more);
    this.#list.append(loading());
    this.#load();
    this.#loadTags();
    this.#loadSuggestions();
    this.show(this.item);
  }

  /** Opens the card of one memory over the list. @param {string} id */
  async show(id) {
    this.item = id;
    if (!id) return;
    const changed = await openMemory(id);
    if (location.hash === `#/memories/${id}`) {
      history.replaceState(null, "", "#/memories");
      dispatchEvent(new HashChangeEvent("hashchange"));
    }
    if (changed) {
      this.#load();
      this.#loadTags();
    }
  }

  async #loadTags() {
    try {
      const { tags } = await ask("GET", `/api/v1/tags?limit=${TAGS_MAX}`);
      this.#tags = tags;
    } catch {
      // Without tags the search is still there.
    }
    this.#drawChips();
  }

  #drawChips() {
    const categories = [...new Set(this.#items.map((item) => item.category).filter(Boolean))];
    const filters = [
      ...this.#tags.map((tag) => ({ kind: "tag", name: tag.name, text: `#${tag.name}`, color: tag.color })),
      ...(categories.length > 1 || this.#filter?.kind === "category" ? categories.map((name) => ({ kind: "category", name, text: categoryName(name), color: "" })) : []),
    ];
    this.#chips.hidden = filters.length === 0;
    this.#chips.replaceChildren(
      ...filters.map(({ kind, name, text, color }) => {
        const isOn = this.#filter?.kind === kind && this.#filter?.name === name;
        const toggle = () => {
          this.#filter = isOn ? null : { kind, name };
          this.#load();
        };
        return h("button", { type: "button", "aria-pressed": String(isOn), onclick: toggle }, color && color !== PLAIN_COLOR && dot(color), text);
      }),
    );
    const chosen = this.#filter?.kind === "tag" && this.#tags.find((tag) => tag.name === this.#filter?.name);
    if (chosen) this.#chips.querySelector("[aria-pressed=true]")?.after(h("button.plain", { type: "button", id: "tag-edit", onclick: () => this.#editTag(chosen) }, icon("pen"), word("tag_edit")));
  }

  /** @param {any} tag */
  async #editTag(tag) {
    const name = await editTag(tag);
    if (name === null) return;
    this.#filter = name ? { kind: "tag", name } : null;
    await this.#loadTags();
    this.#load();
  }

  async #loadSuggestions() {
    try {
      const { suggestions } = await ask("GET", "/api/v1/suggestions");
      this.#drawSuggestions(suggestions);
    } catch {
      this.#suggested.replaceChildren();
    }
  }

  /** @param {any[]} suggestions */
  #drawSuggestions(suggestions) {
    const decide = (/** @type {any} */ one, /** @type {boolean} */ keep) => async () => {
      try {
        const path = `/api/v1/suggestions/${one.id}`;
        await (keep ? ask("POST", `${path}/accept`) : ask("DELETE", path));
        this.#drawSuggestions(suggestions.filter((other) => other !== one));
        if (keep) this.#load();
      } catch (error) {
        toast(sentence(error));
      }
    };
    const card = (/** @type {any} */ one) =>
      h("div.card", {}, h("b", {}, one.title || word("suggestion")), h("p.three", {}, one.content), h("div.row", {}, h("button.primary", { type: "button", onclick: decide(one, true) }, word("suggestion_keep")), h("button", { type: "button", onclick: decide(one, false) }, word("suggestion_drop"))));
    this.#suggested.replaceChildren(...(suggestions.length > 0 ? [h("section.section", {}, h("h2", {}, word("suggestions")), ...suggestions.map(card))] : []));
  }

  async #load(offset = 0) {
    const asked = ++this.#asked;
    const words = this.#search.value.trim();
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.#filter) query.set(this.#filter.kind, this.#filter.name);
    if (words) query.set("q", words);
    else query.set("offset", String(offset));
    try {
      const told = await ask("GET", `/api/v1/memories${words ? "/search" : ""}?${query}`);
      if (asked !== this.#asked) return;
      const fresh = words ? told.results : told.memories;
      this.#items = offset > 0 ? [...this.#items, ...fresh] : fresh;
      this.#draw(words);
      this.#drawChips();
      const hasMore = !words && this.#items.length < told.total;
      this.#more.replaceChildren(...(hasMore ? [h("button", { type: "button", onclick: () => this.#load(this.#items.length) }, word("show_more"))] : []));
    } catch (error) {
      if (asked !== this.#asked) return;
      const text = error instanceof Refusal && error.status === 0 ? word("unreachable") : sentence(error);
      this.#list.replaceChildren(blank("offline", word("not_loaded"), text, h("button", { type: "button", onclick: () => this.#load() }, word("retry"))));
    }
  }

  /** @param {string} words */
  #draw(words) {
    if (this.#items.length === 0) {
      const nothing = words || this.#filter ? blank("search", word("nothing_found"), words ? word("nothing_found_text", { words }) : "") : blank("memory", word("memories_empty"), word("memories_empty_text"), h("a.button.primary", { href: "#/talk" }, word("nav_talk")));
      this.#list.replaceChildren(nothing);
      this.#found.textContent = word("nothing_found");
      return;
    }
    this.#found.textContent = words ? word("found", { count: this.#items.length }) : "";
    const items = words ? this.#items : [...this.#items.filter((item) => item.pinned), ...this.#items.filter((item) => !item.pinned)];
    for (const child of [...this.#list.children]) if (!(/** @type {HTMLElement} */ (child).dataset.key)) child.remove();
    list(this.#list, items, (item) => `${item.id} ${item.updated_at} ${words}`, (item) => card(item, words));
  }
}

/**
 * @param {any} item
 * @param {string} words
 */
function card(item, words) {
  const text = words ? item.snippet ?? item.content : item.summary || item.content;
  // A short memory is its own title.
  const hasTitle = item.title && !item.content.startsWith(item.title.replace(/…$/, ""));
  return h(
    "a.card",
    { href: `#/memories/${item.id}` },
    hasTitle && h("b.one", {}, ...marked(item.title, words)),
    h("p.three", {}, ...marked(text, words)),
    h(
      "div.meta",
      {},
      item.pinned && h("span.chip", {}, icon("pin"), word("pinned")),
      ...(item.tags ?? []).map((/** @type {string} */ tag) => h("span.chip", {}, `#${tag}`)),
      h("span", {}, shortTime(item.created_at)),
      item.source === "voice" && h("span", {}, `· ${word("source_voice")}`),
      item.superseded_by && h("span", {}, `· ${word("superseded")}`),
    ),
  );
}

/** @param {string} color */
function dot(color) {
  const shown = h("i.dot");
  shown.style.background = color;
  return shown;
}

/**
 * Name and colour of a tag. Resolves to its name, to nothing when it is no more, to `null` when
 * all is as it was.
 * @param {any} tag
 * @returns {Promise<string | null>}
 */
async function editTag(tag) {
  /** @type {string | null} */
  let result = null;
  const name = h("input", { id: "tag-name", value: tag.name, maxLength: 50, required: true, autofocus: true, autocomplete: "off" });
  const color = h("input", { id: "tag-color", type: "color", value: tag.color.toLowerCase() });
  const problem = h("p.error", { role: "alert" });
  const change = async (/** @type {"PATCH" | "DELETE"} */ method, /** @type {any} */ body, /** @type {string} */ after) => {
    try {
      await ask(method, `/api/v1/tags/${tag.id}`, body);
      result = after;
      dialog.close();
    } catch (error) {
      problem.textContent = sentence(error);
    }
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const wanted = name.value.trim().replace(/^#/, "");
    change("PATCH", { name: wanted, color: color.value }, wanted);
  };
  const remove = async () => {
    if (await confirm({ title: word("tag_delete", { name: tag.name }), text: word("tag_delete_text"), action: word("delete"), cancel: word("cancel") })) change("DELETE", undefined, "");
  };
  /** @type {HTMLDialogElement} */
  const dialog = h(
    "dialog.sheet",
    { "aria-labelledby": "tag-title" },
    h(
      "form",
      { onsubmit: submit },
      h("div.head", {}, h("h2", { id: "tag-title" }, word("tag_edit")), iconButton("close", word("close"), { onclick: () => dialog.close() })),
      h("div.field", {}, h("label", { htmlFor: "tag-name" }, word("tag_name")), name),
      h("div.field", {}, h("label", { htmlFor: "tag-color" }, word("tag_color")), color),
      problem,
      h("div.row", {}, h("button.danger", { type: "button", onclick: remove }, icon("trash"), word("delete")), h("span.grow"), h("button.primary", { type: "submit" }, word("save"))),
    ),
  );
  await open(dialog);
  return result;
}

/**
 * The text with the words that were looked for made visible.
 * @param {string} text
 * @param {string} words
 */
function marked(text, words) {
  const parts = words.split(/\s+/).filter(Boolean).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (parts.length === 0) return [text];
  return text.split(new RegExp(`(${parts.join("|")})`, "gi")).map((part, at) => (at % 2 === 1 ? h("mark", {}, part) : part));
}

/** @param {string} name */
export function categoryName(name) {
  const key = `category_${name.split("/")[0]}`;
  return hasWord(key) ? word(key) : name;
}

customElements.define("magpie-memories", Memories);
