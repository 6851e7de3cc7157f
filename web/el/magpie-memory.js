// The card of one memory: read, hear, correct, pin, tag, see where it came from, delete for good.

import { ask, sentence } from "../api.js";
import { confirm, h, icon, iconButton, open, toast } from "../dom.js";
import { fullTime, hasWord, word } from "../words.js";

const CATEGORIES = ["technology", "life", "work", "learning", "thought"];

/**
 * Resolves when the card is closed: whether anything changed.
 * @param {string} id
 * @returns {Promise<boolean>}
 */
export async function openMemory(id) {
  let memory;
  try {
    memory = await ask("GET", `/api/v1/memories/${encodeURIComponent(id)}`);
  } catch (error) {
    toast(sentence(error));
    return false;
  }
  const card = new MemoryCard();
  card.memory = memory;
  const dialog = h("dialog.sheet", { "aria-labelledby": "memory-title" }, card);
  await open(dialog);
  return card.changed;
}

class MemoryCard extends HTMLElement {
  /** @type {any} */
  memory = null;
  changed = false;

  connectedCallback() {
    const { memory } = this;
    const text = h("textarea", { id: "memory-text", rows: 3, value: memory.content, maxLength: 60000 });
    const tags = h("input", { id: "memory-tags", value: memory.tags.join(", "), autocomplete: "off", placeholder: word("memory_tags_hint") });
    const category = h("select", { id: "memory-category" }, ...options(memory.category));
    const problem = h("p.error", { role: "alert" });
    const save = h("button.primary", { type: "submit" }, word("save"));
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      save.disabled = true;
      /** @type {Record<string, any>} */
      const patch = { tags: tags.value.split(/[,，、]/).map((/** @type {string} */ tag) => tag.trim().replace(/^#/, "")).filter(Boolean), category: category.value };
      if (text.value !== memory.content) patch.content = text.value;
      try {
        await ask("PATCH", `/api/v1/memories/${memory.id}`, patch);
        this.changed = true;
        this.#close();
        toast(word("saved"));
      } catch (error) {
        problem.textContent = sentence(error);
        save.disabled = false;
      }
    };
    const pin = iconButton("pin", word(memory.pinned ? "unpin" : "pin"), { "aria-pressed": String(memory.pinned), onclick: () => this.#pin(pin) });
    this.append(
      h(
        "form",
        { onsubmit: submit },
        h("div.head", {}, h("h2.one", { id: "memory-title" }, memory.title || word("memory")), pin, iconButton("close", word("close"), { onclick: () => this.#close() })),
        h("div.field", {}, h("label", { htmlFor: "memory-text" }, word("memory_text")), text),
        memory.summary && h("div.field", {}, h("span.label", {}, word("memory_summary")), h("p", {}, memory.summary)),
        memory.recording_id && this.#sound(),
        h("div.field", {}, h("label", { htmlFor: "memory-tags" }, word("memory_tags")), tags),
        h("div.field", {}, h("label", { htmlFor: "memory-category" }, word("memory_category")), category),
        this.#origin(),
        problem,
        h("div.row", {}, h("button.danger", { type: "button", onclick: () => this.#delete() }, icon("trash"), word("delete")), h("span.grow"), save),
      ),
    );
  }

  #sound() {
    const player = h("audio", { controls: true, preload: "metadata", src: `/api/v1/audio/${this.memory.recording_id}`, "aria-label": word("memory_sound") });
    const field = h("div.field", {}, h("span.label", {}, word("memory_sound")), player);
    player.addEventListener("error", () => player.replaceWith(h("p.small.quiet", {}, word("memory_sound_gone"))));
    return field;
  }

  /** Where it came from. */
  #origin() {
    const { memory } = this;
    const source = `source_${memory.source}`;
    return h(
      "dl.facts.small",
      {},
      h("dt", {}, word("memory_from")),
      h("dd", {}, hasWord(source) ? word(source) : memory.source),
      h("dt", {}, word("memory_when")),
      h("dd", {}, fullTime(memory.recorded_at ?? memory.created_at)),
      ...(memory.conversation_id ? [h("dt", {}, word("memory_said_in")), h("dd", {}, h("a", { href: `#/conversations/${memory.conversation_id}`, onclick: () => this.#close() }, word("memory_conversation")))] : []),
      ...(memory.superseded_by ? [h("dt", {}, word("superseded")), h("dd", {}, h("a", { href: `#/memories/${memory.superseded_by}`, onclick: () => this.#close() }, word("memory_newer")))] : []),
      ...(memory.recall_count > 0 ? [h("dt", {}, word("memory_recalled")), h("dd", {}, String(memory.recall_count))] : []),
    );
  }

  /** @param {HTMLElement} button */
  async #pin(button) {
    try {
      this.memory.pinned = !this.memory.pinned;
      await ask("PATCH", `/api/v1/memories/${this.memory.id}`, { pinned: this.memory.pinned });
      this.changed = true;
      const label = word(this.memory.pinned ? "unpin" : "pin");
      button.setAttribute("aria-pressed", String(this.memory.pinned));
      button.setAttribute("aria-label", label);
      button.title = label;
    } catch (error) {
      toast(sentence(error));
    }
  }

  async #delete() {
    const text = word(this.memory.recording_id ? "memory_delete_sound" : "memory_delete_text");
    const sure = await confirm({ title: word("memory_delete"), text, action: word("delete_for_good"), cancel: word("cancel") });
    if (!sure) return;
    try {
      await ask("DELETE", `/api/v1/memories/${this.memory.id}`);
      this.changed = true;
      this.#close();
      toast(word("deleted"));
    } catch (error) {
      toast(sentence(error));
    }
  }

  #close() {
    this.closest("dialog")?.close();
  }
}

/** @param {string} chosen */
function options(chosen) {
  const all = CATEGORIES.includes(chosen) || !chosen ? CATEGORIES : [...CATEGORIES, chosen];
  return all.map((name) => h("option", { value: name, selected: name === chosen }, hasWord(`category_${name}`) ? word(`category_${name}`) : name));
}

customElements.define("magpie-memory", MemoryCard);
