// How the box is: health, sound, network, disk, temperature, and the last turns' times.

import { ask, Refusal, sentence } from "../api.js";
import { blank, h, icon, loading } from "../dom.js";
import { bytes, hasWord, measure, shortTime, timeOfDay, word } from "../words.js";

const LOOK_MS = 10000;
const TURNS_MAX = 12;
const STAGES = ["endpoint", "stt", "llm_first", "tts_first", "first_audio", "total"];

class Box extends HTMLElement {
  #timer = 0;

  connectedCallback() {
    this.append(loading());
    this.#load();
    this.#timer = setInterval(() => document.visibilityState === "visible" && this.#load(), LOOK_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  async #load() {
    let health;
    try {
      health = await ask("GET", "/health");
    } catch (error) {
      this.replaceChildren(blank("offline", word("box_away"), sentence(error), h("button", { type: "button", onclick: () => this.#load() }, word("retry"))));
      return;
    }
    // For admins alone; others see the rest.
    const stats = await ask("GET", "/api/v1/debug/stats").catch((error) => (error instanceof Refusal ? null : null));
    if (this.isConnected) this.replaceChildren(...parts(health, stats));
  }
}

/**
 * @param {any} health
 * @param {any} stats
 */
function parts(health, stats) {
  const { audio, providers, network, queue, db, disk_free, temp_c, last_update } = health;
  const isWell = health.status === "healthy";
  return [
    h("p.notice" + (health.status === "unhealthy" ? ".bad" : ""), {}, icon(isWell ? "check" : "pulse"), h("span", {}, h("b", {}, word(`health_${health.status}`)), " ", word("box_uptime", { time: uptime(health.uptime) }))),
    group("box_now", [
      health.state && [word("box_state"), hasWord(`state_${health.state}`) ? word(`state_${health.state}`) : word("state_idle")],
      health.muted !== undefined && audio?.input !== "off" && [word("box_microphone"), word(health.muted ? "box_muted" : "box_unmuted")],
      network && [word("box_network"), word(`network_${network}`)],
      queue && [word("nav_queue"), queue.failed > 0 ? word("box_queue_failed", { pending: queue.pending, failed: queue.failed }) : queue.pending > 0 ? word("box_queue", { pending: queue.pending }) : word("box_queue_empty")],
    ]),
    providers && group("box_speech", ["stt", "llm", "tts"].filter((stage) => providers[stage]).map((stage) => {
      const one = providers[stage];
      return [word(`stage_${stage}`), h("span", {}, one.name ?? "–", " ", h(one.ok ? "span.good" : "span.error", {}, word(one.ok ? "works" : "fails"))), !one.ok && one.last_error];
    })),
    audio && group("box_sound", [
      [word("box_input"), card(audio.input), audio.input_error],
      [word("box_output"), card(audio.output), audio.output_error],
      [word("box_xruns"), String(audio.xruns)],
    ]),
    group("box_machine", [
      health.memory && [word("box_memory"), bytes(health.memory.alloc)],
      typeof disk_free === "number" && [word("box_disk"), bytes(disk_free)],
      db && [word("box_database"), db.size === null ? "–" : bytes(db.size)],
      typeof temp_c === "number" && [word("box_temperature"), measure(temp_c, "celsius")],
      [word("box_version"), health.version],
      last_update && hasWord(`update_${last_update.result}`) && [word("box_update"), word(`update_${last_update.result}`, { version: last_update.version ?? "–" }), last_update.why],
      [word("box_clock"), timeOfDay(health.timestamp)],
    ]),
    stats?.turns?.length > 0 && turns(stats.turns.slice(-TURNS_MAX).reverse()),
  ].filter(Boolean);
}

/** @param {string | undefined} name of a sound card, as ALSA calls it */
const card = (name) => name === "off" ? word("box_card_off") : name || "–";

/**
 * @param {string} title
 * @param {any[]} rows name, value, and what is wrong
 */
function group(title, rows) {
  const facts = rows.filter(Boolean).flatMap(([name, value, wrong]) => [h("dt", {}, name), h("dd", {}, value, wrong && h("p.small.error", {}, wrong))]);
  return facts.length > 0 && h("section.section", {}, h("h2", {}, word(title)), h("dl.card.facts", {}, ...facts));
}

/** @param {any[]} last */
function turns(last) {
  const slowest = Math.max(...last.map((turn) => turn.timing_ms.total), 1);
  const line = (/** @type {any} */ turn) => {
    const bar = h("i");
    bar.style.width = `${(turn.timing_ms.total / slowest) * 100}%`;
    const stages = STAGES.filter((stage) => turn.timing_ms[stage] !== undefined).map((stage) => `${word(`time_${stage}`)} ${measure(turn.timing_ms[stage], "millisecond")}`);
    return h("li.item", {}, h("span.grow", {}, h("span.row", {}, h("span.grow", {}, shortTime(turn.at)), h("span.small.quiet", {}, hasWord(`result_${turn.result}`) ? word(`result_${turn.result}`) : turn.result)), h("span.bar", { "aria-hidden": "true" }, bar), h("span.small.quiet", {}, stages.join(" · "))));
  };
  return h("section.section", {}, h("h2", {}, word("box_turns")), h("ul.list.flush", {}, ...last.map(line)));
}

/** `1h2m3.4s` without its tenths. @param {string} text */
function uptime(text) {
  const [, hours = 0, minutes = 0, seconds = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(\d+)/.exec(text)?.map(Number) ?? [];
  if (hours >= 48) return measure(Math.floor(hours / 24), "day");
  if (hours >= 1) return measure(hours, "hour");
  return minutes >= 1 ? measure(minutes, "minute") : measure(seconds, "second");
}

customElements.define("magpie-box", Box);
