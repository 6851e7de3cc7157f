// The live connection to the box: `/ws` in its native dialect, opened again when it is lost.

const MICROPHONE = 1;
const SPEAKER = 2;
const HEAD_BYTES = 8;
const WAIT_MAX_MS = 15000;
/** A socket that says nothing for so long is dead, whatever the system thinks of it. */
const SILENCE_MAX_MS = 45000;
const PING_MS = 15000;

export class Link extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  #tries = 0;
  #timer = 0;
  #ping = 0;
  #heard = 0;
  #session = "";
  /** Whether the box has said hello on this socket. */
  isOpen = false;

  /** Opens and keeps open. */
  open() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#heard = Date.now();
      this.#ping = setInterval(() => this.#beat(), PING_MS);
      const resume = this.#session ? { session: this.#session, last_seq: 0 } : undefined;
      socket.send(JSON.stringify({ type: "hello", proto: 2, role: "client", caps: { play: ["pcm16_24000"], aec: true }, resume }));
    };
    socket.onmessage = ({ data }) => {
      this.#heard = Date.now();
      if (typeof data === "string") this.#message(JSON.parse(data));
      else if (data.byteLength > HEAD_BYTES && new DataView(data).getUint8(0) === SPEAKER) {
        const turn = new DataView(data).getUint16(2, true);
        this.#tell("sound", { turn, bytes: data.slice(HEAD_BYTES) });
      }
    };
    socket.onclose = () => this.#closed(socket);
    this.#socket = socket;
  }

  /** @param {any} told */
  #message(told) {
    if (told.type === "hello") {
      this.#tries = 0;
      this.#session = told.session;
      this.isOpen = true;
      this.send({ type: "subscribe", events: ["device", "timers", "jobs", "memories"] });
      this.#tell("open", told);
    } else if (told.type !== "pong") {
      this.#tell("message", told);
    }
  }

  #beat() {
    if (Date.now() - this.#heard > SILENCE_MAX_MS && this.#socket) {
      const socket = this.#socket;
      socket.close();
      // A dead network never finishes the closing.
      this.#closed(socket);
    } else this.send({ type: "ping" });
  }

  /** @param {WebSocket} socket */
  #closed(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearInterval(this.#ping);
    this.isOpen = false;
    this.#tell("closed");
    const wait = Math.min(500 * 2 ** this.#tries++, WAIT_MAX_MS) * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => this.open(), wait);
  }

  /** Now rather than when the wait is over. */
  hurry() {
    if (this.#socket) return;
    this.#tries = 0;
    this.open();
  }

  /** @param {object} message */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /**
   * One microphone frame of `stream`.
   * @param {number} stream
   * @param {number} sequence
   * @param {Int16Array} samples
   */
  sendSound(stream, sequence, samples) {
    if (!this.isOpen) return;
    const frame = new DataView(new ArrayBuffer(HEAD_BYTES + samples.length * 2));
    frame.setUint8(0, MICROPHONE);
    frame.setUint16(2, stream, true);
    frame.setUint32(4, sequence, true);
    samples.forEach((sample, at) => frame.setInt16(HEAD_BYTES + at * 2, sample, true));
    this.#socket?.send(frame.buffer);
  }

  /**
   * @param {string} type
   * @param {any} [detail]
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
