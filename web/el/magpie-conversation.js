// One conversation, to read, go on with, rename, take away as a file, or delete.

import { ask, sentence } from "../api.js";
import { askText, blank, confirm, h, icon, loading, toast } from "../dom.js";
import { talk } from "../talk.js";
import { fullTime, timeOfDay, word } from "../words.js";

class Conversation extends HTMLElement {
  item = "";
  /** @type {any} */
  #told = null;

  connectedCallback() {
    if (this.childElementCount === 0) {
      this.append(loading());
      this.#load();
    }
  }

  async #load() {
    try {
      this.#told = await ask("GET", `/api/v1/conversations/${encodeURIComponent(this.item)}`);
      this.#draw();
    } catch (error) {
      this.replaceChildren(blank("offline", word("not_loaded"), sentence(error), h("button", { type: "button", onclick: () => this.#load() }, word("retry"))));
    }
  }

  #draw() {
    const { summary, created_at, messages } = this.#told;
    const title = summary || word("conversation_untitled");
    dispatchEvent(new CustomEvent("title", { detail: title }));
    this.replaceChildren(
      h("p.small.quiet", {}, fullTime(created_at)),
      h(
        "div.row.tools",
        {},
        h("button.plain", { type: "button", onclick: () => this.#goOn() }, icon("mic"), word("conversation_continue")),
        h("button.plain", { type: "button", onclick: () => this.#rename() }, icon("pen"), word("rename")),
        h("button.plain", { type: "button", onclick: () => this.#export() }, icon("download"), word("export")),
        h("button.plain.danger", { type: "button", onclick: () => this.#delete() }, icon("trash"), word("delete")),
      ),
      messages.length === 0 ? blank("chat", word("conversation_empty")) : h("ol.messages", {}, ...messages.map(line)),
    );
  }

  #goOn() {
    talk.conversation = this.item;
    toast(word("conversation_continues"));
    location.hash = "#/talk";
  }

  async #rename() {
    const summary = await askText({ title: word("rename"), value: this.#told.summary, action: word("save"), cancel: word("cancel") });
    if (summary === null) return;
    try {
      await ask("PATCH", `/api/v1/conversations/${this.item}`, { summary });
      this.#told.summary = summary;
      this.#draw();
    } catch (error) {
      toast(sentence(error));
    }
  }

  async #delete() {
    const sure = await confirm({ title: word("conversation_delete"), text: word("conversation_delete_text"), action: word("delete_for_good"), cancel: word("cancel") });
    if (!sure) return;
    try {
      await ask("DELETE", `/api/v1/conversations/${this.item}`);
      location.hash = "#/conversations";
    } catch (error) {
      toast(sentence(error));
    }
  }

  /** As a text that any editor opens, made here. */
  #export() {
    const { summary, created_at, messages } = this.#told;
    const name = (/** @type {string} */ role) => (role === "user" ? word("you") : word("app"));
    const lines = messages.map((/** @type {any} */ one) => `**${name(one.role)}** ${timeOfDay(one.timestamp)}\n\n${one.content}\n`);
    const text = `# ${summary || word("conversation_untitled")}\n\n${fullTime(created_at)}\n\n${lines.join("\n")}`;
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/markdown" })), download: `${this.item}.md` });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

/** @param {any} message */
function line(message) {
  const isMine = message.role === "user";
  const sound = message.audio_url ?? (message.recording_id ? `/api/v1/audio/${message.recording_id}` : null);
  const player = sound && h("audio", { src: sound, controls: true, preload: "none", "aria-label": word("memory_sound"), onerror: (/** @type {Event} */ event) => /** @type {HTMLElement} */ (event.target).remove() });
  return h(
    `li.${isMine ? "mine" : "box"}`,
    {},
    h("span.unseen", {}, isMine ? word("you") : word("app")),
    h("p", {}, message.content),
    player,
    h("div.meta", {}, timeOfDay(message.timestamp), message.interrupted && h("span", {}, word("interrupted"))),
  );
}

customElements.define("magpie-conversation", Conversation);
