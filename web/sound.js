// The microphone and the loudspeaker of this device.

let context = null;

/** Must first run inside a tap, or browsers keep the loudspeaker shut. */
export async function unlock() {
  context ??= new AudioContext();
  if (context.state === "suspended") await context.resume();
  return context;
}

/** False on plain HTTP from elsewhere: browsers hide the microphone there. */
export function canListen() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia) && "AudioWorkletNode" in window;
}

/** Opens the microphone; `heard` gets 20 ms of s16 at 16 kHz at a time. Returns how to end it. */
export async function listen(heard) {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  try {
    const own = await unlock();
    if (!own.hasCapture) {
      await own.audioWorklet.addModule("/capture.js");
      own.hasCapture = true;
    }
    const source = own.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(own, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => heard(data);
    source.connect(node);
    return () => {
      source.disconnect();
      node.port.onmessage = null;
      for (const track of stream.getTracks()) track.stop();
    };
  } catch (error) {
    for (const track of stream.getTracks()) track.stop();
    throw error;
  }
}

/** Plays s16le pieces one after the other without a gap; can be silenced at once. */
export class Player {
  /** Called when the last piece has been heard. */
  onidle = () => {};
  #rate = 24000;
  #end = 0;
  #playing = new Set();

  begin(rate) {
    if (rate >= 8000 && rate <= 96000) this.#rate = rate;
  }

  async play(bytes) {
    const own = context ?? (await unlock());
    const samples = new Int16Array(bytes, 0, bytes.byteLength >> 1);
    if (samples.length === 0) return;
    const buffer = own.createBuffer(1, samples.length, this.#rate);
    buffer.getChannelData(0).set(Float32Array.from(samples, (sample) => sample / 32768));
    const piece = own.createBufferSource();
    piece.buffer = buffer;
    piece.connect(own.destination);
    piece.onended = () => {
      this.#playing.delete(piece);
      if (!this.isPlaying) this.onidle();
    };
    this.#end = Math.max(this.#end, own.currentTime + 0.03);
    piece.start(this.#end);
    this.#end += buffer.duration;
    this.#playing.add(piece);
  }

  get isPlaying() {
    return this.#playing.size > 0;
  }

  flush() {
    for (const piece of this.#playing) piece.stop();
    this.#playing.clear();
    this.#end = 0;
  }
}
