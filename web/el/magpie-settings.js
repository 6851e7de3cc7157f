// Settings: of this device, of the box's sound, and of the box itself as its own table has them.

import { ask, Refusal, sentence } from "../api.js";
import { blank, h, icon, loading, toast } from "../dom.js";
import { prefs, setPrefs } from "../prefs.js";
import { hasWord, language, measure, percent, word } from "../words.js";

/** Stage whose provider a group of settings is about. */
const STAGES = ["stt", "llm", "tts", "embed"];

class Settings extends HTMLElement {
  session = { role: "device" };
  #box = h("div");
  #sound = h("section.section");
  #restart = h("div");
  /** What a setting is for, in the reader's language; the box tells it in English. @type {Record<string, string>} */
  #helps = {};

  connectedCallback() {
    this.append(this.#here(), this.#sound, this.#restart, this.#box, this.#data());
    this.#box.append(loading());
    this.#loadSound();
    this.#load();
  }

  // This device.

  #here() {
    const segments = (/** @type {"language" | "theme"} */ name, /** @type {string[]} */ values, /** @type {() => void} */ then) => {
      const group = h("div.segments", { role: "group", "aria-labelledby": `pref-${name}` });
      const show = () => {
        for (const button of group.children) button.setAttribute("aria-pressed", String(button.value === prefs[name]));
      };
      group.append(...values.map((value) => h("button", { type: "button", value, id: `pref-${name}-${value}`, onclick: () => {
        setPrefs({ [name]: value });
        show();
        then();
      } }, word(`${name}_${value}`))));
      show();
      return h("div.field", {}, h("span.label", { id: `pref-${name}` }, word(name)), group);
    };
    return h(
      "section.section",
      {},
      h("h2", {}, word("settings_here")),
      h(
        "div.card.fields",
        {},
        segments("language", ["auto", "en", "zh"], () => location.reload()),
        segments("theme", ["auto", "light", "dark"], () => {}),
        h("label.check", {}, h("input", { type: "checkbox", checked: prefs.sound, onchange: (/** @type {any} */ event) => setPrefs({ sound: event.target.checked }) }), word("pref_sound")),
      ),
      h("a.card", { href: "#/devices" }, h("span.row", {}, icon("phone"), h("span.grow", {}, word("nav_devices")), icon("next"))),
      h("a.card", { href: "#/happy" }, h("span.row", {}, icon("chat"), h("span.grow", {}, word("nav_happy")), icon("next"))),
    );
  }

  // The box's own microphone and loudspeaker.

  async #loadSound() {
    let device;
    try {
      device = await ask("GET", "/api/v1/device/audio");
    } catch {
      this.#sound.hidden = true;
      return;
    }
    const mute = h("input", { type: "checkbox", id: "box-mute", checked: device.muted, onchange: async () => {
      try {
        await ask("POST", "/api/v1/device/mute", { muted: mute.checked });
      } catch (error) {
        mute.checked = !mute.checked;
        toast(sentence(error));
      }
    } });
    let heard = device.volume;
    const level = h("output", { htmlFor: "box-volume" }, percent(heard));
    const volume = h("input", { type: "range", id: "box-volume", min: "0", max: "100", step: "5", value: String(heard), oninput: () => (level.textContent = percent(Number(volume.value))), onchange: async () => {
      try {
        heard = (await ask("POST", "/api/v1/device/volume", { percent: Number(volume.value) })).percent;
      } catch (error) {
        toast(sentence(error));
      }
      volume.value = String(heard);
      level.textContent = percent(heard);
    } });
    this.#sound.replaceChildren(
      h("h2", {}, word("settings_sound")),
      h("div.card.fields", {}, h("label.check", {}, mute, h("span", {}, word("box_mute"))), h("div.field", {}, h("span.row", {}, h("label.small.quiet.grow", { htmlFor: "box-volume" }, word("volume")), level), volume), await privacy()),
    );
  }

  // The table.

  async #load() {
    try {
      const [told, helps] = await Promise.all([ask("GET", "/api/v1/settings"), readHelps()]);
      this.#helps = helps;
      this.#draw(told);
    } catch (error) {
      const missing = error instanceof Refusal && error.isMissing;
      this.#box.replaceChildren(missing ? blank("sliders", word("not_here"), word("not_here_text")) : blank("offline", word("not_loaded"), sentence(error)));
    }
  }

  /** @param {{settings: any[], restart_needed: string[]}} told */
  #draw({ settings, restart_needed }) {
    this.#showRestart(restart_needed);
    /** @type {Map<string, any[]>} */
    const groups = new Map();
    for (const one of settings) if (one.editable) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
    const fixed = settings.filter((one) => !one.editable);
    const isAdmin = this.session.role === "owner";
    this.#box.replaceChildren(
      h("section.section", {}, h("h2", {}, word("settings_providers")), h("p.small.quiet", {}, word("settings_providers_text")), h("ul.list.flush", {}, ...STAGES.map((stage) => provider(stage)))),
      ...[...groups].map(([group, list]) => h("details.section", { id: `group-${group.toLowerCase().replace(/\W+/g, "-")}` }, h("summary", {}, h("h2", {}, groupName(group))), h("div.fields", {}, ...list.map((one) => this.#field(one, isAdmin))))),
      fixed.length > 0 && h("details.section", {}, h("summary", {}, word("settings_fixed")), h("p.small.quiet", {}, word("settings_fixed_text")), h("dl.facts.small", {}, ...fixed.flatMap((one) => [h("dt", {}, h("code", {}, one.name)), h("dd", {}, one.value === null || one.value === "" ? "–" : String(one.value))]))),
    );
  }

  /** @param {string[]} names */
  #showRestart(names) {
    this.#restart.replaceChildren(...(names.length > 0 ? [h("p.notice.section", { role: "status" }, icon("retry"), h("span", {}, word("settings_restart", { names: names.map(label).join(", ") })))] : []));
  }

  /**
   * @param {any} one
   * @param {boolean} isAdmin
   */
  #field(one, isAdmin) {
    const id = `set-${one.name}`;
    const told = h("p.small", { role: "status" });
    const about = h("p.small.quiet", { id: `${id}-help` }, this.#helps[one.name] ?? one.help);
    const common = { id, disabled: !isAdmin, "aria-describedby": `${id}-help` };
    let input;
    if (one.kind === "choice") input = h("select", common, ...one.options.map((/** @type {string} */ name) => h("option", { value: name, selected: name === one.value }, name)));
    else if (one.kind === "number") input = h("input", { ...common, type: "number", min: String(one.min), max: String(one.max), value: one.value ?? "" });
    else if (one.secret) input = h("input", { ...common, type: "password", autocomplete: "off", placeholder: word(one.value === "set" ? "secret_set" : "secret_unset") });
    else input = h("input", { ...common, value: one.value ?? "", placeholder: one.default ?? "", autocomplete: "off" });
    input.addEventListener("change", async () => {
      told.className = "small quiet";
      told.textContent = word("saving");
      try {
        const { settings, restart_needed } = await ask("PATCH", "/api/v1/settings", { [one.name]: input.value === "" ? null : input.value });
        told.className = "small good";
        told.textContent = word("saved");
        this.#showRestart(restart_needed);
        const now = settings.find((/** @type {any} */ other) => other.name === one.name);
        if (one.secret) {
          input.value = "";
          input.placeholder = word(now.value === "set" ? "secret_set" : "secret_unset");
        } else input.value = now.value ?? "";
      } catch (error) {
        told.className = "small error";
        told.textContent = sentence(error);
      }
    });
    return h("div.field", {}, h("label", { htmlFor: id }, label(one.name)), input, about, told);
  }

  /** Everything as a file. */
  #data() {
    return h("section.section", {}, h("h2", {}, word("settings_data")), h("p.small.quiet", {}, word("settings_data_text")), h("div.row", {}, h("a.button", { href: "/api/v1/export?format=zip&audio=1", download: "" }, icon("download"), word("export_all")), h("a.button", { href: "/api/v1/export?format=md", download: "" }, icon("download"), word("export_text"))));
  }
}

/** Whether the box files by itself what is said; a box without it has no such line. */
async function privacy() {
  const told = await ask("GET", "/api/v1/private").catch(() => null);
  if (!told) return null;
  const input = h("input", { type: "checkbox", id: "box-private", checked: told.private, onchange: async () => {
    try {
      await ask("PUT", "/api/v1/private", { private: input.checked });
    } catch (error) {
      input.checked = !input.checked;
      toast(sentence(error));
    }
  } });
  return h("label.check", {}, input, h("span", {}, word("private")));
}

/** @param {string} stage */
function provider(stage) {
  const told = h("span.small.quiet", { role: "status" });
  const button = h("button", { type: "button", id: `test-${stage}`, "aria-label": `${word("test")}: ${word(`stage_${stage}`)}` }, word("test"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    told.className = "small quiet";
    told.textContent = word("testing");
    try {
      const answer = await ask("POST", "/api/v1/settings/test", { stage }, 60000);
      const ms = answer.latency_ms ?? answer.ms;
      const isOk = answer.ok !== false;
      told.className = `small ${isOk ? "good" : "error"}`;
      const time = typeof ms === "number" ? measure(Math.round(ms), "millisecond") : "";
      told.textContent = isOk ? [word("works"), answer.provider ?? answer.name, time].filter(Boolean).join(" · ") : answer.error ?? answer.message ?? word("fails");
    } catch (error) {
      told.className = "small error";
      told.textContent = sentence(error);
    }
    button.disabled = false;
  });
  return h("li.item", {}, h("span.grow", {}, h("span", {}, word(`stage_${stage}`)), told), button);
}

/** @returns {Promise<Record<string, string>>} */
async function readHelps() {
  if (language === "en") return {};
  const answer = await fetch(`/i18n/help-${language}.json`).catch(() => null);
  return answer?.ok ? answer.json() : {};
}

/** @param {string} name */
const label = (name) => (hasWord(`set_${name}`) ? word(`set_${name}`) : name);

/** @param {string} group */
function groupName(group) {
  const key = `group_${group.toLowerCase().replace(/\W+/g, "_")}`;
  return hasWord(key) ? word(key) : group;
}

customElements.define("magpie-settings", Settings);
