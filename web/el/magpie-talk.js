// Talk: the words, and the button to hold.

import { blank, h, icon, toast } from "../dom.js";
import { canListen, canRecord, record } from "../microphone.js";
import { context } from "../player.js";
import { talk } from "../talk.js";
import { duration, measure, word } from "../words.js";

/** @typedef {import("../talk.js").Entry} Entry */

const NOTE_MAX_S = 3600;

class TalkView extends HTMLElement {
  session = { https_port: null };
  /** @type {Map<Entry, HTMLElement>} */
  #lines = new Map();
  #messages = h("ol.messages");
  #log = h("div.talk-log", { role: "log", tabindex: "0", "aria-live": "off", "aria-label": word("talk_log") });
  #empty = h("div");
  #state = h("p.state", { role: "status" });
  #big = h("button.big", { type: "button", id: "hold" });
  #hands = h("button.side", { type: "button", id: "hands-free", "aria-pressed": "false" }, icon("hands"), word("hands_free"));
  #note = h("button.side", { type: "button", id: "note", "aria-pressed": "false" }, icon("note"), word("note"));
  #text = h("textarea", { id: "text", rows: 1, maxLength: 8000, autocomplete: "off", "aria-label": word("message"), placeholder: word("message"), enterkeyhint: "send" });
  /** @type {HTMLElement | null} */
  #partial = null;
  /** @type {{stop: () => Promise<Blob>, since: number, timer: number} | null} */
  #noting = null;

  connectedCallback() {
    if (this.childElementCount > 0) return;
    this.#log.append(this.#empty, this.#messages);
    this.append(this.#log, this.#dock());
    this.#drawEmpty();
    for (const entry of talk.entries) this.#add(entry);
    talk.addEventListener("entry", (event) => this.#add(/** @type {CustomEvent} */ (event).detail));
    talk.addEventListener("change", (event) => this.#change(/** @type {CustomEvent} */ (event).detail));
    talk.addEventListener("partial", (event) => this.#showPartial(/** @type {CustomEvent} */ (event).detail));
    talk.addEventListener("phase", () => this.#showPhase());
    talk.addEventListener("level", (event) => this.#showLevel(/** @type {CustomEvent} */ (event).detail));
    talk.addEventListener("nothing", () => toast(word("nothing_heard")));
    talk.link.addEventListener("open", () => this.#showPhase());
    talk.link.addEventListener("closed", () => this.#showPhase());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) talk.stop();
    });
    this.#showPhase();
  }

  // The lower part.

  #dock() {
    const hears = canListen();
    const form = h("form.ask", { id: "ask", onsubmit: (/** @type {Event} */ event) => this.#type(event) });
    if (!hears) form.append(this.#filePicker());
    form.append(this.#text, h("button.round.primary", { type: "submit", id: "send", "aria-label": word("send") }, icon("send")));
    this.#text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#hands.addEventListener("click", () => talk.setHandsFree(!talk.handsFree));
    this.#note.addEventListener("click", () => this.#toggleNote());
    this.#bindBig();
    const dock = h("div.dock", {}, this.#state);
    if (hears) dock.append(h("div.controls", {}, this.#hands, this.#big, canRecord() ? this.#note : h("span")));
    else dock.append(this.#insecure());
    dock.append(form);
    return dock;
  }

  /** Why there is no microphone, and what helps. */
  #insecure() {
    const line = h("p.notice", {}, icon("shield"), h("span", {}, word("secure_hint")));
    if (this.session.https_port) line.append(h("a", { href: "/trust" }, word("secure_link")));
    return line;
  }

  /** Without a microphone for the page, the phone's own recorder. */
  #filePicker() {
    const input = h("input.unseen", { type: "file", accept: "audio/*", capture: "user", id: "file", tabIndex: -1, "aria-label": word("file") });
    input.addEventListener("change", async () => {
      const [file] = input.files ?? [];
      if (file) await talk.sendFile(file, "auto", 0);
      input.value = "";
    });
    const button = h("button.round", { type: "button", "aria-label": word("file"), title: word("file"), onclick: () => input.click() }, icon("file"));
    return h("span", {}, button, input);
  }

  /** @param {Event} event */
  #type(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text) return;
    if (talk.type(text)) this.#text.value = "";
    else toast(word("typed_offline"));
  }

  #bindBig() {
    const big = this.#big;
    big.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.button !== 0 || this.#noting) return;
      big.setPointerCapture(event.pointerId);
      context();
      talk.press();
    });
    for (const type of ["pointerup", "pointercancel"]) big.addEventListener(type, () => talk.release());
    big.addEventListener("contextmenu", (/** @type {Event} */ event) => event.preventDefault());
    big.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat && !this.#noting) talk.press();
    });
    big.addEventListener("keyup", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      talk.release();
    });
    big.addEventListener("blur", () => talk.release());
    big.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (this.#noting) this.#toggleNote();
      // A screen reader clicks without a pointer.
      else if (event.detail === 0 && /** @type {PointerEvent} */ (event).pointerType === "") talk.tap();
    });
  }

  async #toggleNote() {
    const noting = this.#noting;
    if (noting) {
      this.#noting = null;
      clearInterval(noting.timer);
      const seconds = (Date.now() - noting.since) / 1000;
      const blob = await noting.stop();
      this.#showLevel(0);
      this.#showPhase();
      await talk.sendFile(blob, "note", seconds);
      return;
    }
    talk.setHandsFree(false);
    talk.stop();
    try {
      const recorder = await record((rms) => this.#showLevel(rms));
      const since = Date.now();
      const timer = setInterval(() => {
        this.#showPhase();
        if (Date.now() - since > NOTE_MAX_S * 1000) this.#toggleNote();
      }, 500);
      this.#noting = { stop: recorder.stop, since, timer };
    } catch {
      toast(word("microphone_denied"));
    }
    this.#showPhase();
  }

  #showPhase() {
    const isOpen = talk.link.isOpen;
    const noting = this.#noting;
    let phase = noting ? "listening" : talk.phase;
    if (phase === "idle" && talk.player.isPlaying) phase = "speaking";
    if (phase === "idle" && talk.isListening) phase = isOpen ? "listening" : "keeping";
    const stops = ["transcribing", "thinking", "speaking"].includes(phase);
    this.#big.dataset.phase = phase;
    this.#big.replaceChildren(icon(stops || noting ? "stop" : "mic"));
    this.#big.setAttribute("aria-label", word(noting ? "note_stop" : stops ? "stop" : "hold"));
    this.#big.setAttribute("aria-pressed", String(phase === "listening" || phase === "keeping"));
    this.#hands.setAttribute("aria-pressed", String(talk.handsFree));
    this.#hands.disabled = Boolean(noting) || (!isOpen && !talk.handsFree);
    this.#note.setAttribute("aria-pressed", String(Boolean(noting)));
    this.#state.textContent = this.#sentence(phase);
    if (phase !== "listening" && phase !== "transcribing") this.#showPartial("");
  }

  /** @param {string} phase */
  #sentence(phase) {
    if (this.#noting) return word("state_noting", { time: duration((Date.now() - this.#noting.since) / 1000) });
    if (phase === "idle") {
      if (!canListen()) return "";
      if (!talk.link.isOpen) return word("hint_offline");
      return word(talk.handsFree ? "hint_hands_free" : "hint");
    }
    return word(`state_${phase}`);
  }

  /** @param {number} rms */
  #showLevel(rms) {
    // Quiet speech is about -45 dB, loud about -15 dB.
    const db = 20 * Math.log10(Math.max(rms, 1e-5));
    const level = Math.max(0, Math.min(1, (db + 55) / 40));
    this.#big.style.setProperty("--level", String(1 + level * 0.45));
  }

  // The upper part.

  #drawEmpty() {
    const examples = ["example_1", "example_2", "example_3"].map((key) =>
      h("button.chip", { type: "button", onclick: () => {
        this.#text.value = word(key);
        this.#text.focus();
      } }, word(key)),
    );
    const shown = blank("mic", word("empty_title"), word("empty_text"), ...examples);
    shown.querySelector(".icon")?.remove();
    this.#empty.replaceChildren(shown);
    this.#empty.className = "row grow";
  }

  /** @param {Entry} entry */
  #add(entry) {
    this.#showPartial("");
    const line = h("li");
    this.#lines.set(entry, line);
    this.#empty.hidden = true;
    const follows = this.#isAtEnd();
    this.#draw(entry, line);
    this.#messages.append(line);
    for (const [old, element] of this.#lines) {
      if (talk.entries.includes(old)) break;
      element.remove();
      this.#lines.delete(old);
    }
    if (follows || entry.kind === "mine") this.#toEnd();
  }

  /** @param {Entry} entry */
  #change(entry) {
    const line = this.#lines.get(entry);
    if (!line) return;
    const follows = this.#isAtEnd();
    this.#draw(entry, line);
    if (follows) this.#toEnd();
  }

  /**
   * @param {Entry} entry
   * @param {HTMLElement} line
   */
  #draw(entry, line) {
    line.className = entry.kind + (entry.streams ? " streams" : "");
    // Text alone changes while an answer streams: the rest of the line keeps its place and focus.
    const text = line.querySelector("p") ?? line.appendChild(h("p"));
    if (text.textContent !== entry.text) text.textContent = entry.text;
    for (const extra of line.querySelectorAll(".meta")) extra.remove();
    const meta = h("div.meta");
    for (const saved of entry.saved ?? []) {
      meta.append(h("a.chip", { href: `#/memories/${saved.id}` }, icon("memory"), h("span.one", {}, saved.title ? word("remembered", { title: saved.title }) : word("remembered_plain"))));
    }
    if (entry.kind === "kept") meta.append(h("a.chip", { href: "#/queue" }, icon("tray"), word("nav_queue")));
    if (entry.interrupted) meta.append(h("span", {}, word("interrupted")));
    if (entry.first_ms) meta.append(h("span", { title: word("first_sound") }, measure(Math.round(entry.first_ms / 100) / 10, "second")));
    if (meta.childElementCount > 0) line.append(meta);
  }

  /** @param {string} text */
  #showPartial(text) {
    if (!text) {
      this.#partial?.remove();
      this.#partial = null;
      return;
    }
    this.#partial ??= this.#messages.appendChild(h("li.mine.part", {}, h("p")));
    /** @type {any} */ (this.#partial?.firstElementChild).textContent = text;
    this.#toEnd();
  }

  #isAtEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 80;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}

customElements.define("magpie-talk", TalkView);
