// The conversation of this device: what is heard and said, whichever view is shown. Knows no
// element; tells `phase`, `entry`, `change` and `level`.

import { ask, sentence } from "./api.js";
import { Link } from "./link.js";
import { canListen, listen, loudness, wav } from "./microphone.js";
import { Player, context } from "./player.js";
import { prefs } from "./prefs.js";
import { unsent } from "./unsent.js";
import { hasWord, word } from "./words.js";

/** A press shorter than this is a tap. */
const TAP_MS = 250;
/** What is said while letting go belongs to it. */
const TAIL_MS = 160;
/** After a lost socket so much is sent again; the box leaves out what it has. */
const AGAIN_FRAMES = 250;
/** The box takes no more at once; beyond it the recording is kept and sent whole. */
const AWAY_FRAMES_MAX = 400;
/** Ten minutes of what is kept here. */
const FRAMES_MAX = 10 * 60 * 50;
const ENTRIES_MAX = 200;
const RECENT_MS = 10 * 60 * 1000;

/**
 * @typedef {object} Entry
 * @property {"mine" | "box" | "error" | "kept"} kind
 * @property {string} text
 * @property {number} [turn]
 * @property {boolean} [streams] more text comes
 * @property {boolean} [interrupted]
 * @property {{id: string, title: string}[]} [saved]
 * @property {number} [first_ms] from the end of speech to the first sound
 * @property {string} [client_id] of the recording that was kept
 */

/**
 * What is being said.
 * @typedef {object} Utterance
 * @property {number} stream
 * @property {"client" | "server" | null} endpoint `null` until it is clear whether this is a tap
 * @property {Int16Array[]} frames
 * @property {number} sent frames given to the socket
 * @property {boolean} live the box hears it; otherwise it is kept here
 * @property {boolean} ended
 * @property {Date} at
 */

class Talk extends EventTarget {
  link = new Link();
  player = new Player();
  /** @type {Entry[]} */
  entries = [];
  /** `idle`, `listening`, `transcribing`, `thinking`, `speaking`, `keeping` (not connected). */
  phase = "idle";
  handsFree = false;
  /** Where the next question goes; empty: wherever the box puts it. */
  conversation = "";
  muted = false;
  /** @type {Utterance | null} */
  #utterance = null;
  /** @type {(() => void) | null} */
  #closeMicrophone = null;
  /** @type {Promise<void> | null} */
  #opening = null;
  #pressed = 0;
  #holdTimer = 0;
  /** The press that is down silenced an answer. */
  #stopped = false;
  #stream = 0;
  /** The turn whose sound and text are no longer wanted. */
  #silenced = -1;
  #turn = -1;
  /** Turns of which sound has come. */
  #sounded = -1;
  /** @type {any} */
  #wakeLock = null;

  constructor() {
    super();
    this.link.addEventListener("open", (event) => this.#opened(/** @type {CustomEvent} */ (event).detail));
    this.link.addEventListener("closed", () => this.#lost());
    this.link.addEventListener("sound", (event) => {
      const { turn, bytes } = /** @type {CustomEvent} */ (event).detail;
      if (turn === (this.#silenced & 0xffff)) return;
      this.player.play(bytes);
    });
    this.link.addEventListener("message", (event) => {
      const told = /** @type {CustomEvent} */ (event).detail;
      const name = `_${told.type}`;
      if (name in this) /** @type {any} */ (this)[name](told);
    });
    this.player.addEventListener("played", (event) => {
      this.link.send({ type: "played", .../** @type {CustomEvent} */ (event).detail });
    });
    this.player.addEventListener("idle", () => {
      this.#tell("phase");
      this.#listenAgain();
    });
    unsent.addEventListener("taken", (event) => this.#taken(/** @type {CustomEvent} */ (event).detail));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") {
        this.link.hurry();
        if (this.handsFree) this.#stayAwake();
      }
    });
    addEventListener("online", () => {
      this.link.hurry();
      unsent.send();
    });
  }

  start() {
    this.link.open();
    unsent.send();
    this.#recall();
  }

  /** After a reload the conversation of a moment ago is still there. */
  async #recall() {
    try {
      const { conversations } = await ask("GET", "/api/v1/conversations?limit=1");
      const last = conversations[0];
      if (!last || Date.now() - Date.parse(last.updated_at) > RECENT_MS) return;
      const offset = Math.max(0, last.message_count - 20);
      const { messages } = await ask("GET", `/api/v1/conversations/${last.id}?limit=20&offset=${offset}`);
      if (this.entries.length > 0) return;
      for (const message of messages) {
        this.#add({ kind: message.role === "user" ? "mine" : "box", text: message.content, interrupted: message.interrupted });
      }
    } catch {
      // An empty page is as good; the connection shows what is wrong.
    }
  }

  get isBusy() {
    return ["transcribing", "thinking", "speaking"].includes(this.phase) || this.player.isPlaying;
  }

  get isListening() {
    return this.#utterance !== null;
  }

  // Speaking to the box.

  /** The button is down: listen at once; whether it is a tap shows when it comes up. */
  press() {
    if (this.#pressed) return;
    this.#pressed = Date.now();
    const wasListening = this.#utterance;
    this.#stopped = this.isBusy;
    if (this.isBusy) this.stop();
    if (wasListening) return;
    this.#listen(null);
    this.#holdTimer = setTimeout(() => this.#decide("client"), TAP_MS);
  }

  release() {
    if (!this.#pressed) return;
    const held = Date.now() - this.#pressed;
    this.#pressed = 0;
    clearTimeout(this.#holdTimer);
    if (this.#utterance?.endpoint === null) {
      // A tap stops an answer, else the box hears by itself when the sentence is over.
      if (this.#stopped) this.#cancel();
      else this.#decide("server");
    } else if (this.#utterance && (this.#utterance.endpoint === "client" || held < TAP_MS)) {
      const mine = this.#utterance;
      setTimeout(() => this.#end(mine), mine.endpoint === "client" ? TAIL_MS : 0);
    }
  }

  /** A press and a release at once, as a screen reader makes them. */
  tap() {
    if (this.isBusy) this.stop();
    else if (this.#utterance) this.#end(this.#utterance);
    else {
      this.#listen(null);
      this.#decide("server");
    }
  }

  /** @param {boolean} on */
  setHandsFree(on) {
    this.handsFree = on;
    if (on) {
      context();
      this.#stayAwake();
      this.#listenAgain();
    } else {
      this.#wakeLock?.release();
      this.#wakeLock = null;
      if (this.#utterance) this.#cancel();
      this.#closeUnlessNeeded();
    }
    this.#tell("phase");
  }

  /**
   * @param {string} text
   * @returns {boolean} whether it has gone
   */
  type(text) {
    if (!this.link.isOpen) return false;
    context();
    this.stop();
    this.#add({ kind: "mine", text });
    this.link.send({ type: "text", text, speak: prefs.sound, ...this.#where() });
    return true;
  }

  /** Silent at once here, whatever is still on its way from the box. */
  stop() {
    this.player.flush();
    if (["transcribing", "thinking", "speaking"].includes(this.phase)) {
      this.#silenced = this.#turn;
      this.link.send({ type: "interrupt", reason: "user" });
    }
    this.#tell("phase");
  }

  #where() {
    return this.conversation ? { conversation_id: this.conversation } : {};
  }

  // The microphone.

  /** @param {Utterance["endpoint"]} endpoint */
  #listen(endpoint) {
    this.#stream = (this.#stream % 65535) + 1;
    this.#utterance = { stream: this.#stream, endpoint, frames: [], sent: 0, live: this.link.isOpen, ended: false, at: new Date() };
    const mine = this.#utterance;
    this.#openMicrophone().catch((error) => {
      if (this.#utterance === mine) this.#utterance = null;
      this.handsFree = false;
      this.#setPhase("idle");
      const name = error instanceof DOMException ? error.name : "";
      this.#add({ kind: "error", text: name === "NotAllowedError" ? word("microphone_denied") : name === "NotFoundError" ? word("microphone_none") : word("microphone_broken", { why: sentence(error) }) });
    });
    this.#tell("phase");
  }

  #openMicrophone() {
    if (this.#closeMicrophone) return Promise.resolve();
    this.#opening ??= listen((samples) => this.#heard(samples))
      .then((close) => {
        this.#closeMicrophone = close;
        // It may be over already.
        if (!this.#utterance && !this.handsFree) this.#closeUnlessNeeded();
      })
      .finally(() => {
        this.#opening = null;
      });
    return this.#opening;
  }

  /** The microphone is open only while somebody is listened to. */
  #closeUnlessNeeded() {
    if (this.handsFree || (this.#utterance && !this.#utterance.ended)) return;
    this.#closeMicrophone?.();
    this.#closeMicrophone = null;
    this.#tell("level", 0);
  }

  /** @param {Int16Array} samples */
  #heard(samples) {
    const mine = this.#utterance;
    if (!mine) return;
    mine.frames.push(samples);
    if (mine.endpoint && mine.live) this.#sendFrames(mine);
    this.#tell("level", loudness(samples));
    if (mine.frames.length >= FRAMES_MAX) this.#end(mine);
  }

  /** @param {Utterance} mine */
  #sendFrames(mine) {
    if (!this.link.isOpen) return;
    for (; mine.sent < mine.frames.length; mine.sent++) this.link.sendSound(mine.stream, mine.sent, mine.frames[mine.sent]);
  }

  /** @param {"client" | "server"} endpoint */
  #decide(endpoint) {
    const mine = this.#utterance;
    if (!mine || mine.endpoint) return;
    mine.endpoint = endpoint;
    if (mine.live) {
      this.link.send({ type: "audio_start", stream: mine.stream, format: "s16le", rate: 16000, endpoint, mode: "auto", speak: prefs.sound, ...this.#where() });
      this.#sendFrames(mine);
    } else {
      this.#setPhase("keeping");
    }
    this.#tell("phase");
  }

  /** @param {Utterance} mine */
  #end(mine) {
    if (mine.ended) return;
    mine.ended = true;
    if (this.#utterance === mine) this.#utterance = null;
    this.#closeUnlessNeeded();
    if (mine.live && this.link.isOpen) {
      // A press that ended before the microphone was open said nothing.
      this.link.send({ type: "audio_end", stream: mine.stream, cancel: mine.frames.length === 0 });
    } else {
      this.#keep(mine);
    }
    this.#tell("phase");
  }

  #cancel() {
    const mine = this.#utterance;
    if (!mine) return;
    mine.ended = true;
    this.#utterance = null;
    if (mine.live && mine.endpoint) this.link.send({ type: "audio_end", stream: mine.stream, cancel: true });
    if (this.phase === "keeping") this.#setPhase("idle");
    this.#closeUnlessNeeded();
  }

  /** Without the box: on the disk of this device, sent later. @param {Utterance} mine */
  async #keep(mine) {
    this.#setPhase("idle");
    const seconds = mine.frames.length / 50;
    if (seconds < 0.3) return;
    try {
      const kept = await unsent.keep(wav(mine.frames), { mode: "auto", seconds, recorded_at: mine.at });
      this.#add({ kind: "kept", text: word("kept_here"), client_id: kept.client_id });
    } catch (error) {
      this.#add({ kind: "error", text: word("keep_failed", { why: sentence(error) }) });
    }
  }

  /** Hands-free: the next sentence, once this answer has been heard to its end. */
  #listenAgain() {
    if (!this.handsFree || this.#utterance || this.isBusy || !this.link.isOpen || !canListen()) return;
    this.#listen(null);
    this.#decide("server");
  }

  async #stayAwake() {
    // Without it the screen goes dark and the microphone with it; not every browser has it.
    this.#wakeLock = await /** @type {any} */ (navigator).wakeLock?.request("screen").catch(() => null);
  }

  // What the box says.

  /** @param {any} told */
  #opened(told) {
    this.muted = told.muted;
    if (!told.resumed) {
      // Turns are counted from one again.
      this.#silenced = this.#turn = this.#sounded = -1;
      for (const entry of this.entries) delete entry.turn;
    }
    const mine = this.#utterance;
    if (mine?.endpoint && !mine.ended) {
      if (told.resumed && mine.live && mine.frames.length - mine.sent <= AWAY_FRAMES_MAX) {
        mine.sent = Math.max(0, mine.sent - AGAIN_FRAMES);
        this.#sendFrames(mine);
      } else {
        mine.live = false;
        this.#setPhase("keeping");
      }
    } else if (told.resumed) {
      // What was being said when the connection broke has been kept here and comes whole.
      this.link.send({ type: "interrupt", reason: "user" });
    }
    if (told.state === "idle" && this.phase !== "keeping") this.#setPhase("idle");
    unsent.send();
    this.#tell("phase");
    this.#listenAgain();
  }

  #lost() {
    const streaming = this.entries.findLast((entry) => entry.streams);
    if (streaming) {
      streaming.streams = false;
      streaming.interrupted = true;
      this.#tell("change", streaming);
    }
    if (this.phase !== "keeping") this.#setPhase(this.#utterance ? "listening" : "idle");
    this.#tell("phase");
  }

  /** @param {any} told */
  _state(told) {
    this.muted = told.muted ?? this.muted;
    if (told.turn !== undefined && told.turn !== null) this.#turn = told.turn;
    if (this.phase === "keeping") return;
    this.#setPhase(told.state);
    if (told.state === "transcribing" || told.state === "thinking") this.#heardOut();
  }

  /** The box has noticed the end of the sentence. */
  #heardOut() {
    const mine = this.#utterance;
    if (!mine || mine.endpoint !== "server") return;
    // Hands-free goes on sending: somebody may speak into the answer.
    if (this.handsFree) return;
    mine.ended = true;
    this.#utterance = null;
    this.#closeUnlessNeeded();
  }

  /** @param {any} told */
  _transcript(told) {
    this.#turn = told.turn;
    if (told.text) this.#add({ kind: "mine", text: told.text, turn: told.turn });
  }

  /** @param {any} told */
  _partial(told) {
    this.#tell("partial", told.text);
  }

  /** @param {any} told */
  _token(told) {
    if (told.turn === this.#silenced) return;
    this.#turn = told.turn;
    const entry = this.#answer(told.turn);
    entry.text += told.text;
    this.#tell("change", entry);
  }

  /** @param {number} turn */
  #answer(turn) {
    return this.entries.findLast((entry) => entry.kind === "box" && entry.turn === turn) ?? this.#add({ kind: "box", text: "", turn, streams: true });
  }

  /** @param {any} told */
  _audio_begin(told) {
    if (told.turn === this.#silenced) return;
    this.#turn = this.#sounded = told.turn;
    this.player.begin(told);
    this.#tell("phase");
  }

  /** @param {any} told */
  _audio_done(told) {
    if (told.turn !== this.#silenced) this.player.done();
  }

  /** Whether the answer of a turn was spoken: then a screen reader need not read it. @param {number | undefined} turn */
  wasSpoken(turn) {
    return turn !== undefined && turn === this.#sounded;
  }

  /** @param {any} told */
  _turn_done(told) {
    const entry = this.entries.findLast((one) => one.kind === "box" && one.turn === told.turn);
    if (told.interrupted) this.player.flush();
    if (entry) {
      entry.streams = false;
      entry.interrupted = told.interrupted;
      entry.first_ms = told.timing_ms?.first_audio;
      this.#tell("change", entry);
      if (!this.wasSpoken(told.turn)) this.#tell("said", entry.text);
    }
    const mine = this.#utterance;
    if (mine?.endpoint === "server" && !told.interrupted) {
      // Nothing was said, or all of it answered: the stream is over on the box's side too.
      mine.ended = true;
      this.#utterance = null;
      this.#closeUnlessNeeded();
      if (told.result === "nothing_heard" && !this.handsFree) this.#tell("nothing");
    }
    if (this.phase !== "keeping") this.#setPhase("idle");
    if (!this.player.isPlaying) this.#listenAgain();
  }

  /** @param {any} told */
  _memory_saved(told) {
    const entry = this.entries.findLast((one) => one.kind === "box") ?? this.entries.at(-1);
    if (!entry) return;
    (entry.saved ??= []).push({ id: told.id, title: told.title });
    this.#tell("change", entry);
  }

  /** @param {any} told */
  _error(told) {
    const key = `error_${told.code}`;
    this.#add({ kind: "error", text: hasWord(key) ? word(key, told) : told.message });
    const mine = this.#utterance;
    // An utterance that was being spoken ends here; what the box has of it, the box keeps.
    if (mine && mine.endpoint && !mine.ended) {
      mine.ended = true;
      this.#utterance = null;
      this.handsFree = false;
      this.#closeUnlessNeeded();
    }
    if (this.phase !== "keeping") this.#setPhase("idle");
  }

  /** @param {any} told */
  _notice(told) {
    this.#tell("notice", told);
  }

  /** @param {any} told */
  _timer(told) {
    this.#tell("timer", told);
  }

  /** @param {any} told */
  _job(told) {
    this.#tell("job", told);
  }

  // What was kept, once the box has it.

  /**
   * A file or a recording goes the safe way: kept first, then sent.
   * @param {Blob} blob
   * @param {"auto" | "note"} mode
   * @param {number} seconds
   */
  async sendFile(blob, mode, seconds) {
    try {
      const kept = await unsent.keep(blob, { mode, seconds, recorded_at: new Date() });
      this.#add({ kind: "kept", text: word(mode === "note" ? "note_kept" : "kept_here"), client_id: kept.client_id });
      unsent.send();
    } catch (error) {
      this.#add({ kind: "error", text: word("keep_failed", { why: sentence(error) }) });
    }
  }

  /** @param {{recording: import("./unsent.js").Recording, answer: any}} taken */
  #taken({ recording, answer }) {
    const entry = this.entries.find((one) => one.client_id === recording.client_id);
    if (answer.text) {
      if (entry) {
        entry.kind = "mine";
        entry.text = answer.text;
        delete entry.client_id;
        this.#tell("change", entry);
      } else this.#add({ kind: "mine", text: answer.text });
      if (answer.reply) {
        const saved = answer.memory_id ? [{ id: answer.memory_id, title: "" }] : undefined;
        this.#add({ kind: "box", text: answer.reply, saved });
        this.#tell("said", answer.reply);
      } else if (answer.memory_id) {
        this.#add({ kind: "box", text: word("note_saved"), saved: [{ id: answer.memory_id, title: "" }] });
      }
    } else if (entry) {
      entry.text = word("kept_on_box");
      delete entry.client_id;
      this.#tell("change", entry);
    }
  }

  // Telling.

  /** @param {Entry} entry */
  #add(entry) {
    this.entries.push(entry);
    if (this.entries.length > ENTRIES_MAX) this.entries.shift();
    this.#tell("entry", entry);
    return entry;
  }

  /** @param {string} phase */
  #setPhase(phase) {
    this.phase = phase === "error" ? "idle" : phase;
    this.#tell("phase");
  }

  /**
   * @param {string} type
   * @param {any} [detail]
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const talk = new Talk();
