// Recordings that the box has not taken yet. They lie in the browser's database from the moment
// they are spoken until the box has said that it holds them; nothing else removes them but a person.

import { Refusal, ask } from "./api.js";
import { asWav } from "./microphone.js";
import { word } from "./words.js";

/**
 * @typedef {object} Recording
 * @property {string} client_id the box takes each one once
 * @property {ArrayBuffer} sound
 * @property {string} type
 * @property {"auto" | "note" | "chat"} mode
 * @property {string} recorded_at
 * @property {number} seconds
 * @property {number} tries
 * @property {boolean} refused by the box, for good
 * @property {string} error
 */

const STORE = "recordings";
const RETRY_FIRST_MS = 5000;
const RETRY_MAX_MS = 5 * 60000;
/** A long note may take the box a while. */
const SEND_MAX_MS = 180000;

/** @type {Promise<IDBDatabase> | null} */
let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("magpie", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "client_id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>} once it is kept
 */
async function transact(mode, work) {
  const transaction = (await database()).transaction(STORE, mode, { durability: "strict" });
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

/** Tells `change` when the number or state changes, `taken` with what the box made of one. */
class Unsent extends EventTarget {
  /** Known once the database has been read. */
  count = 0;
  #sending = false;
  #timer = 0;
  #wait = RETRY_FIRST_MS;

  /** @returns {Promise<Recording[]>} oldest first */
  async all() {
    /** @type {Recording[]} */
    const all = await transact("readonly", (store) => store.getAll());
    return all.sort((a, b) => a.recorded_at.localeCompare(b.recorded_at));
  }

  /**
   * Keeps a recording; resolves when it is on the disk.
   * @param {Blob} blob
   * @param {{mode: Recording["mode"], seconds: number, recorded_at: Date}} about
   */
  async keep(blob, { mode, seconds, recorded_at }) {
    const random = crypto.getRandomValues(new Uint8Array(8));
    const client_id = `page-${[...random].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    /** @type {Recording} */
    const recording = { client_id, sound: await blob.arrayBuffer(), type: blob.type, mode, seconds, recorded_at: recorded_at.toISOString(), tries: 0, refused: false, error: "" };
    await transact("readwrite", (store) => store.put(recording));
    // Asks the browser not to throw it away when space is short; a no changes nothing.
    navigator.storage?.persist?.().catch(() => {});
    await this.#changed();
    return recording;
  }

  /** @param {string} client_id */
  async remove(client_id) {
    await transact("readwrite", (store) => store.delete(client_id));
    await this.#changed();
  }

  /** @param {string} client_id */
  async retry(client_id) {
    const recording = (await this.all()).find((one) => one.client_id === client_id);
    if (recording) await transact("readwrite", (store) => store.put({ ...recording, refused: false }));
    await this.send();
  }

  /** Sends what waits, oldest first; ends at the first that the box cannot take now. */
  async send() {
    if (this.#sending) return;
    this.#sending = true;
    clearTimeout(this.#timer);
    try {
      for (const recording of await this.all()) {
        if (recording.refused) continue;
        if (!(await this.#sendOne(recording))) {
          this.#timer = setTimeout(() => this.send(), this.#wait);
          this.#wait = Math.min(this.#wait * 2, RETRY_MAX_MS);
          return;
        }
        this.#wait = RETRY_FIRST_MS;
      }
    } finally {
      this.#sending = false;
      await this.#changed();
    }
  }

  /**
   * @param {Recording} recording
   * @returns {Promise<boolean>} whether the next may be tried
   */
  async #sendOne(recording) {
    let blob = new Blob([recording.sound], { type: recording.type });
    try {
      let answer;
      try {
        answer = await ask("POST", path(recording), blob, SEND_MAX_MS);
      } catch (error) {
        if (!(error instanceof Refusal) || error.status !== 415 || recording.type.startsWith("audio/wav")) throw error;
        // This box does not unpack what the browser packed: the browser does.
        blob = await asWav(blob);
        answer = await ask("POST", path(recording), blob, SEND_MAX_MS);
      }
      await transact("readwrite", (store) => store.delete(recording.client_id));
      await this.#changed();
      this.dispatchEvent(new CustomEvent("taken", { detail: { recording, answer } }));
      return true;
    } catch (error) {
      const passing = !(error instanceof Refusal) || error.isPassing || error.isMissing;
      const message = error instanceof Refusal && error.isMissing ? word("queue_too_old") : error instanceof Error ? error.message : String(error);
      await transact("readwrite", (store) => store.put({ ...recording, tries: recording.tries + 1, refused: !passing, error: message }));
      return !passing;
    }
  }

  async #changed() {
    this.count = await transact("readonly", (store) => store.count());
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * The box takes the sound as it is, and what is to be known of it in the address.
 * @param {Recording} recording
 */
function path({ client_id, mode, recorded_at }) {
  return `/api/v1/voice?${new URLSearchParams({ client_id, mode, recorded_at, speak: "none" })}`;
}

export const unsent = new Unsent();
