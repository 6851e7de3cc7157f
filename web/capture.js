// From the sound card's own rate to another behind a low-pass, so that nothing folds back into
// the voice. The page imports the resampler; in the audio thread this file is also the microphone,
// which sends 20 ms of s16 at 16 kHz a message.

/** Zero crossings of the sinc on each side, at the lower of the two rates. */
const CROSSINGS = 18;
/** Places between two samples at which the filter is known; between them it is interpolated. */
const PHASES = 128;
/** Kaiser window: more than 80 dB down beside the passing band. */
const BETA = 8;
/** Where the filter is half way down, as a part of the lower rate's half; what lies above the
 * half by more than it lies below cannot come back. */
const CUTOFF = 0.9;

export class Resampler {
  /**
   * @param {number} from Hz
   * @param {number} to Hz
   */
  constructor(from, to) {
    this.step = from / to;
    const cutoff = (Math.min(1, to / from) * CUTOFF) / 2;
    this.half = Math.ceil(CROSSINGS / (2 * cutoff));
    this.taps = filter(cutoff, this.half);
    // Silence before the first sample, so that it has a past.
    this.held = new Float32Array(this.half);
    /** Place of the next output, in samples of `held`. */
    this.at = this.half;
  }

  /**
   * What of the output is complete now.
   * @param {Float32Array} input
   * @returns {Float32Array}
   */
  process(input) {
    const sound = new Float32Array(this.held.length + input.length);
    sound.set(this.held);
    sound.set(input, this.held.length);
    const ready = sound.length - this.half - this.at;
    const output = new Float32Array(Math.max(0, Math.ceil(ready / this.step)));
    for (let place = 0; place < output.length; place++) output[place] = this.value(sound, this.at + place * this.step);
    this.at += output.length * this.step;
    const used = Math.max(0, Math.min(sound.length, Math.floor(this.at) - this.half));
    this.held = sound.slice(used);
    this.at -= used;
    return output;
  }

  /** The rest, as if silence followed. */
  finish() {
    return this.process(new Float32Array(this.half));
  }

  /**
   * @param {Float32Array} sound
   * @param {number} at
   */
  value(sound, at) {
    const whole = Math.floor(at);
    const place = (at - whole) * PHASES;
    const phase = Math.floor(place);
    const part = place - phase;
    const width = 2 * this.half;
    const near = phase * width;
    const far = near + width;
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      const weight = this.taps[near + tap] + (this.taps[far + tap] - this.taps[near + tap]) * part;
      sum += sound[whole - this.half + 1 + tap] * weight;
    }
    return sum;
  }
}

/**
 * A windowed sinc for each place between two samples; each row sums to one, so that silence and
 * a constant stay what they are.
 * @param {number} cutoff as a part of the rate of the input
 * @param {number} half
 */
function filter(cutoff, half) {
  const width = 2 * half;
  const taps = new Float32Array((PHASES + 1) * width);
  for (let phase = 0; phase <= PHASES; phase++) {
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      const x = tap - half + 1 - phase / PHASES;
      const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x);
      const inside = 1 - (x / half) ** 2;
      const weight = inside > 0 ? sinc * bessel(BETA * Math.sqrt(inside)) : 0;
      taps[phase * width + tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < width; tap++) taps[phase * width + tap] /= sum;
  }
  return taps;
}

/**
 * Modified Bessel function of the first kind, order zero.
 * @param {number} x
 */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

if ("registerProcessor" in globalThis) {
  const RATE = 16000;
  const FRAME = RATE / 50;

  class Capture extends AudioWorkletProcessor {
    constructor() {
      super();
      this.resampler = new Resampler(sampleRate, RATE);
      this.frame = new Int16Array(FRAME);
      this.filled = 0;
    }

    /** @param {Float32Array[][]} inputs */
    process([[input]]) {
      if (!input) return true;
      for (const value of this.resampler.process(input)) {
        this.frame[this.filled++] = Math.max(-1, Math.min(1, value)) * 32767;
        if (this.filled < FRAME) continue;
        this.port.postMessage(this.frame.slice());
        this.filled = 0;
      }
      return true;
    }
  }

  registerProcessor("capture", Capture);
}
