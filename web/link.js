// The live connection to the box: `/ws` in its native dialect, opened again when it is lost.

const MICROPHONE = 1;
const SPEAKER = 2;
const HEAD_BYTES = 8;

export class Link extends EventTarget {
  #socket = null;
  #tries = 0;
  #timer = 0;

  /** Opens and keeps open. */
  open() {
    clearTimeout(this.#timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#tries = 0;
      this.send({ type: "hello", proto: 2, role: "client", caps: { play: ["pcm16_24000"], aec: true } });
      this.#tell("open");
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#tell("message", JSON.parse(data)) : this.#sound(data));
    socket.onclose = () => {
      this.#tell("closed");
      const wait = Math.min(1000 * 2 ** this.#tries++, 15000) * (0.75 + Math.random() / 2);
      this.#timer = setTimeout(() => this.open(), wait);
    };
    this.#socket = socket;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.isOpen) this.#socket.send(JSON.stringify(message));
  }

  /** One microphone frame: s16le samples of `stream`. */
  sendSound(stream, sequence, samples) {
    if (!this.isOpen) return;
    const frame = new DataView(new ArrayBuffer(HEAD_BYTES + samples.length * 2));
    frame.setUint8(0, MICROPHONE);
    frame.setUint16(2, stream, true);
    frame.setUint32(4, sequence, true);
    samples.forEach((sample, at) => frame.setInt16(HEAD_BYTES + at * 2, sample, true));
    this.#socket.send(frame.buffer);
  }

  #sound(data) {
    if (data.byteLength > HEAD_BYTES && new DataView(data).getUint8(0) === SPEAKER) this.#tell("sound", data.slice(HEAD_BYTES));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
