// Runs beside the page in the audio thread: from the card's own rate to 16 kHz, behind a low-pass
// so that what lies above 8 kHz does not fold back into the voice; 20 ms of s16 a message.

const RATE = 16000;
const FRAME = RATE / 50;
const TAPS = 63;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    this.filter = lowPass(Math.min(0.45 / this.step, 0.45));
    this.held = new Float32Array(0);
    this.at = 0;
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
  }

  process([[input]]) {
    if (!input) return true;
    const sound = new Float32Array(this.held.length + input.length);
    sound.set(this.held);
    sound.set(input, this.held.length);
    for (; this.at + TAPS + 1 <= sound.length; this.at += this.step) this.push(this.value(sound, Math.floor(this.at), this.at % 1));
    const used = Math.min(Math.floor(this.at), sound.length);
    this.held = sound.slice(used);
    this.at -= used;
    return true;
  }

  // The filtered sound between two samples, by straight line: it is smooth after the low-pass.
  value(sound, at, part) {
    let here = 0;
    let next = 0;
    for (let tap = 0; tap < TAPS; tap++) {
      here += sound[at + tap] * this.filter[tap];
      next += (sound[at + tap + 1] ?? sound[at + tap]) * this.filter[tap];
    }
    return here + (next - here) * part;
  }

  push(value) {
    this.frame[this.filled++] = Math.max(-1, Math.min(1, value)) * 32767;
    if (this.filled < FRAME) return;
    this.port.postMessage(this.frame.slice());
    this.filled = 0;
  }
}

/** A windowed sinc; `cutoff` as a part of the rate. */
function lowPass(cutoff) {
  const middle = (TAPS - 1) / 2;
  const taps = Float32Array.from({ length: TAPS }, (_, tap) => {
    const x = tap - middle;
    const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x);
    return sinc * (0.54 - 0.46 * Math.cos((2 * Math.PI * tap) / (TAPS - 1)));
  });
  const sum = taps.reduce((all, tap) => all + tap, 0);
  return taps.map((tap) => tap / sum);
}

registerProcessor("capture", Capture);
