// The loudspeaker of this device: what the box says, without gaps, silent at once when asked.

import { Resampler } from "./capture.js";

/** @type {AudioContext | null} */
let own = null;

/** Must first run inside a tap, or browsers keep the loudspeaker shut. */
export async function context() {
  own ??= new AudioContext({ latencyHint: "interactive" });
  if (own.state !== "running") await own.resume();
  return own;
}

/** From the first sound on so much is held back, against an uneven network. */
const LEAD_S = 0.06;
/** How often the box is told what has been heard. */
const REPORT_MS = 500;

/** @typedef {{turn: number, sentence: number, from: number, to: number}} Part */

export class Player extends EventTarget {
  #rate = 24000;
  /** Of the sentence that comes in. @type {{turn: number, sentence: number} | null} */
  #now = null;
  /** @type {Resampler | null} */
  #resampler = null;
  /** Where on the context's clock the last piece ends. */
  #end = 0;
  /** @type {Set<AudioBufferSourceNode>} */
  #playing = new Set();
  /** Sentences on the context's clock. @type {Part[]} */
  #parts = [];
  #timer = 0;
  /** Counts silences, so that what was being made ready before one is not heard after it. */
  #silences = 0;

  /**
   * A sentence follows.
   * @param {{turn: number, index: number, rate: number}} told
   */
  begin({ turn, index, rate }) {
    this.#finishSentence();
    if (rate >= 8000 && rate <= 96000) this.#rate = rate;
    this.#now = { turn, sentence: index };
  }

  /**
   * s16le of the sentence that was begun.
   * @param {ArrayBuffer} bytes
   */
  async play(bytes) {
    const silence = this.#silences;
    const speaker = await context();
    if (silence !== this.#silences) return;
    const samples = new Int16Array(bytes, 0, bytes.byteLength >> 1);
    this.#resampler ??= new Resampler(this.#rate, speaker.sampleRate);
    this.#schedule(speaker, this.#resampler.process(Float32Array.from(samples, (sample) => sample / 32768)));
  }

  /** The sentence has come whole. */
  done() {
    this.#finishSentence();
  }

  #finishSentence() {
    const rest = this.#resampler?.finish();
    this.#resampler = null;
    if (rest && own) this.#schedule(own, rest);
  }

  /**
   * @param {AudioContext} speaker
   * @param {Float32Array} sound at the speaker's own rate
   */
  #schedule(speaker, sound) {
    if (sound.length === 0) return;
    const buffer = speaker.createBuffer(1, sound.length, speaker.sampleRate);
    buffer.getChannelData(0).set(sound);
    const piece = speaker.createBufferSource();
    piece.buffer = buffer;
    piece.connect(speaker.destination);
    piece.onended = () => {
      this.#playing.delete(piece);
      if (!this.isPlaying) this.#idle();
    };
    if (this.#end < speaker.currentTime) this.#end = speaker.currentTime + LEAD_S;
    piece.start(this.#end);
    this.#note(this.#end, this.#end + buffer.duration);
    this.#end += buffer.duration;
    this.#playing.add(piece);
    this.#timer ||= setInterval(() => this.#report(), REPORT_MS);
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #note(from, to) {
    if (!this.#now) return;
    const last = this.#parts.at(-1);
    if (last && last.turn === this.#now.turn && last.sentence === this.#now.sentence) last.to = to;
    else this.#parts.push({ ...this.#now, from, to });
  }

  /** Tells what has really been heard up to now. */
  #report() {
    const time = own?.currentTime ?? 0;
    const heard = this.#parts.findLast((part) => part.from <= time);
    if (!heard) return;
    const ms = Math.round((Math.min(time, heard.to) - heard.from) * 1000);
    this.dispatchEvent(new CustomEvent("played", { detail: { turn: heard.turn, sentence: heard.sentence, ms } }));
    this.#parts = this.#parts.filter((part) => part.to > time);
  }

  #idle() {
    this.#report();
    clearInterval(this.#timer);
    this.#timer = 0;
    this.dispatchEvent(new Event("idle"));
  }

  get isPlaying() {
    return this.#playing.size > 0;
  }

  /** Silent now; what has been heard is told first. */
  flush() {
    this.#silences++;
    this.#resampler = null;
    if (!this.isPlaying) return;
    this.#report();
    for (const piece of this.#playing) {
      piece.onended = null;
      piece.stop();
      piece.disconnect();
    }
    this.#playing.clear();
    this.#parts = [];
    this.#end = 0;
    this.#idle();
  }

  /**
   * Two short tones for a timer, or one for "something went wrong".
   * @param {number[]} tones Hz, 140 ms each
   */
  async beep(tones) {
    const speaker = await context();
    tones.forEach((tone, at) => {
      const voice = speaker.createOscillator();
      const gain = speaker.createGain();
      const start = speaker.currentTime + at * 0.18;
      voice.frequency.value = tone;
      gain.gain.setValueAtTime(0, start);
      gain.gain.linearRampToValueAtTime(0.2, start + 0.01);
      gain.gain.exponentialRampToValueAtTime(0.001, start + 0.14);
      voice.connect(gain).connect(speaker.destination);
      voice.start(start);
      voice.stop(start + 0.15);
    });
  }
}
