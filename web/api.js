// Questions to the box over HTTP.

import { word } from "./words.js";

const ANSWER_MAX_MS = 20000;

/** What the box refused, or that it could not be reached (`status` 0). */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** This box does not have it, or not yet. */
  get isMissing() {
    return this.status === 404 || this.status === 405;
  }

  /** Worth another try later. */
  get isPassing() {
    return this.status === 0 || this.status === 401 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/**
 * The `data` of an answer; a refusal is thrown with the server's own sentence.
 * @param {string} method
 * @param {string} path
 * @param {any} [body] JSON, or a file that is sent as it is
 * @param {number} [patience_ms]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body, patience_ms = ANSWER_MAX_MS) {
  /** @type {RequestInit} */
  const options = { method, signal: AbortSignal.timeout(patience_ms) };
  if (body !== undefined) {
    const isFile = body instanceof Blob;
    options.body = isFile ? body : JSON.stringify(body);
    options.headers = { "Content-Type": isFile ? body.type : "application/json" };
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal(0, "UNREACHABLE", word("unreachable"));
  }
  const told = await answer.json().catch(() => null);
  // `/health` has no envelope and answers 503 with its body.
  if (path === "/health" && told) return told;
  if (!answer.ok || told?.success === false) {
    const refusal = new Refusal(answer.status, told?.error?.code ?? "", told?.error?.message ?? word("refused", { status: answer.status }));
    if (answer.status === 401) dispatchEvent(new Event("unpaired"));
    throw refusal;
  }
  return told?.data ?? {};
}

/** @param {unknown} error */
export const sentence = (error) => (error instanceof Error ? error.message : String(error));
