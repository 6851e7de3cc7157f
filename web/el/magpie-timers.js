// Timers, alarms and reminders: what runs, what rings, what is over.

import { ask, Refusal, sentence } from "../api.js";
import { blank, h, icon, iconButton, loading, open, toast } from "../dom.js";
import { talk } from "../talk.js";
import { dayName, duration, hasWord, timeOfDay, word } from "../words.js";

const SNOOZE_S = 300;
const OVER_MAX = 20;
const PRESETS_MIN = [1, 3, 5, 10, 15, 20, 30, 60];

class Timers extends HTMLElement {
  #list = h("div");
  /** @type {any[]} */
  #timers = [];
  #tick = 0;
  #again = () => this.#load();

  connectedCallback() {
    this.append(h("div.row", {}, h("button.primary", { type: "button", id: "timer-add", onclick: () => this.#add() }, icon("plus"), word("timer_add"))), this.#list);
    this.#list.append(loading());
    this.#load();
    this.#tick = setInterval(() => this.#count(), 1000);
    talk.addEventListener("timer", this.#again);
  }

  disconnectedCallback() {
    clearInterval(this.#tick);
    talk.removeEventListener("timer", this.#again);
  }

  async #load() {
    try {
      const { timers } = await ask("GET", "/api/v1/timers");
      this.#timers = timers;
      this.#draw();
    } catch (error) {
      const missing = error instanceof Refusal && error.isMissing;
      this.#list.replaceChildren(missing ? blank("timer", word("not_here"), word("not_here_text")) : blank("offline", word("not_loaded"), sentence(error), h("button", { type: "button", onclick: this.#again }, word("retry"))));
    }
  }

  #draw() {
    const of = (/** @type {string[]} */ ...states) => this.#timers.filter((timer) => states.includes(timer.state));
    const [ringing, pending, over] = [of("ringing"), of("pending"), of("done", "missed", "cancelled")];
    pending.sort((a, b) => a.due_at.localeCompare(b.due_at));
    over.sort((a, b) => b.due_at.localeCompare(a.due_at));
    if (ringing.length + pending.length + over.length === 0) {
      this.#list.replaceChildren(blank("timer", word("timers_empty"), word("timers_empty_text")));
      return;
    }
    this.#list.replaceChildren(
      ...(ringing.length > 0 ? [section("", ringing.map((timer) => this.#card(timer)))] : []),
      ...(pending.length > 0 ? [section("timers_pending", pending.map((timer) => this.#card(timer)))] : []),
      ...(over.length > 0 ? [h("section.section", {}, h("h2", {}, word("timers_over")), h("ul.list.flush", {}, ...over.slice(0, OVER_MAX).map((timer) => this.#line(timer))))] : []),
    );
    this.#count();
  }

  /** @param {any} timer */
  #card(timer) {
    const isRinging = timer.state === "ringing";
    const name = timer.label || word(`kind_${timer.kind}`);
    const counts = timer.kind === "timer" && !isRinging;
    return h(
      `div.card${isRinging ? ".ringing" : ""}`,
      {},
      h(
        "div.row",
        {},
        h("div.grow", {}, h("p.due", counts ? { "data-due": timer.due_at, role: "timer", "aria-live": "off" } : {}, counts ? "" : timeOfDay(timer.due_at)), h("p", {}, name), h("p.small.quiet", {}, details(timer))),
        isRinging
          ? h("div.row", {}, h("button", { type: "button", onclick: () => this.#do("POST", timer, "/snooze", { duration: SNOOZE_S }) }, word("snooze")), h("button.primary", { type: "button", onclick: () => this.#do("PATCH", timer, "", { state: "done" }) }, word("ring_stop")))
          : iconButton("trash", `${word("delete")}: ${name}`, { onclick: () => this.#do("DELETE", timer) }),
      ),
    );
  }

  /** @param {any} timer */
  #line(timer) {
    const name = timer.label || word(`kind_${timer.kind}`);
    return h("li.item", {}, h("span.grow", {}, h("span.one", {}, name), h("span.small.quiet", {}, `${word(`timer_${timer.state}`)} · ${dayName(timer.due_at)} ${timeOfDay(timer.due_at)}`)), iconButton("trash", `${word("delete")}: ${name}`, { onclick: () => this.#do("DELETE", timer) }));
  }

  #count() {
    for (const element of this.querySelectorAll("[data-due]")) {
      element.textContent = duration((Date.parse(/** @type {HTMLElement} */ (element).dataset.due ?? "") - Date.now()) / 1000);
    }
  }

  /**
   * @param {string} method
   * @param {any} timer
   * @param {string} [rest]
   * @param {any} [body]
   */
  async #do(method, timer, rest = "", body) {
    try {
      await ask(method, `/api/v1/timers/${timer.id}${rest}`, body);
    } catch (error) {
      toast(sentence(error));
    }
    this.#load();
  }

  /** One dialog for all three kinds. */
  async #add() {
    let kind = "timer";
    const label = h("input", { id: "timer-label", maxLength: 200, autocomplete: "off" });
    const minutes = h("input", { id: "timer-minutes", type: "number", min: "0.1", max: "1440", step: "any", value: "5", inputMode: "decimal" });
    const soon = new Date(Date.now() + 3600000 - new Date().getTimezoneOffset() * 60000);
    const when = h("input", { id: "timer-when", type: "datetime-local", value: soon.toISOString().slice(0, 16) });
    const repeat = h("select", { id: "timer-repeat" }, ...["", "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "FREQ=WEEKLY"].map((rule, at) => h("option", { value: rule }, word(["repeat_none", "repeat_daily", "repeat_weekdays", "repeat_weekly"][at]))));
    const presets = h("div.presets", {}, ...PRESETS_MIN.map((count) => h("button", { type: "button", onclick: () => (minutes.value = String(count)) }, word("minutes", { count }))));
    const byLength = h("div.fields", {}, presets, field("timer_minutes", minutes));
    const byClock = h("div.fields", {}, field("timer_when", when), field("timer_repeat", repeat));
    const problem = h("p.error", { role: "alert" });
    const kinds = h("div.segments", { role: "group", "aria-label": word("timer_kind") });
    const choose = (/** @type {string} */ name) => {
      kind = name;
      byLength.hidden = kind !== "timer";
      byClock.hidden = kind === "timer";
      for (const button of kinds.children) button.setAttribute("aria-pressed", String(button.value === kind));
    };
    kinds.append(...["timer", "alarm", "reminder"].map((name) => h("button", { type: "button", value: name, onclick: () => choose(name) }, word(`kind_${name}`))));
    choose(kind);
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      const body = kind === "timer" ? { kind, label: label.value.trim(), duration: Math.round(Number(minutes.value) * 60) } : { kind, label: label.value.trim(), due_at: new Date(when.value).toISOString(), ...(repeat.value ? { repeat: repeat.value } : {}) };
      try {
        await ask("POST", "/api/v1/timers", body);
        dialog.close();
        this.#load();
      } catch (error) {
        problem.textContent = sentence(error);
      }
    };
    const dialog = h("dialog.sheet", { "aria-labelledby": "timer-title" }, h("form", { onsubmit: submit }, h("div.head", {}, h("h2", { id: "timer-title" }, word("timer_add")), iconButton("close", word("close"), { onclick: () => dialog.close() })), kinds, byLength, byClock, field("timer_label", label), problem, h("div.row.end", {}, h("button.primary", { type: "submit" }, word("timer_start")))));
    await open(dialog);
  }
}

/**
 * @param {string} title
 * @param {Element[]} cards
 */
function section(title, cards) {
  return h("section.section", {}, title && h("h2", {}, word(title)), h("div.list", {}, ...cards));
}

/**
 * @param {string} label
 * @param {any} input
 */
function field(label, input) {
  return h("div.field", {}, h("label", { htmlFor: input.id }, word(label)), input);
}

/** @param {any} timer */
function details(timer) {
  const repeat = timer.repeat?.replace(/^RRULE:/, "");
  const known = { "FREQ=DAILY": "repeat_daily", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR": "repeat_weekdays" }[/** @type {string} */ (repeat)] ?? (repeat ? "repeat_weekly" : "");
  const when = timer.kind === "timer" ? timeOfDay(timer.due_at) : dayName(timer.due_at);
  return hasWord(known) ? `${when} · ${word(known)}` : when;
}

customElements.define("magpie-timers", Timers);
