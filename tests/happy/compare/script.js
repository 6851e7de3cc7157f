// One theme of the script: speaks to the server, and writes down every answer and event under
// the name of its exchange.

import { randomBytes } from "node:crypto";
import { io } from "socket.io-client";
import nacl from "tweetnacl";
import { Names, plain } from "./plain.js";

/** How long one event that the other server sent is waited for, in milliseconds. */
const PATIENCE = 15_000;
/** After so many that did not come the server is not given as much time any more. */
const DISAPPOINTMENTS = 5;
/** No event for so long: there is none. */
const QUIET_KNOWN = 120;
const QUIET_UNKNOWN = 500;
const ACK_PATIENCE = 20_000;

export class Script {
  /**
   * @param {string} base where the server is
   * @param {string} theme what exchanges are named after
   * @param {Map<string, any> | undefined} expected what another server did, by the exchange's name
   */
  constructor(base, theme, expected) {
    this.base = base;
    this.theme = theme;
    this.expected = expected;
    this.names = new Names(base);
    this.started = Date.now();
    /** @type {any[]} */
    this.lines = [];
    /** @type {Map<string, any>} */
    this.sockets = new Map();
    this.lastEvent = 0;
    this.disappointed = 0;
  }

  /** A new account with its key pair and token; `name` stands for its id in what is written down. */
  async account(name) {
    const keys = nacl.sign.keyPair.fromSeed(randomBytes(32));
    const answer = await fetch(`${this.base}/v1/auth`, json("POST", signIn(keys)));
    const told = await answer.json();
    if (!told.token) throw new Error(`${this.theme}: no account: ${answer.status} ${JSON.stringify(told)}`);
    const id = JSON.parse(atob(told.token.split(".")[1])).sub;
    this.names.give(id, name);
    return { name, id, keys, token: told.token };
  }

  /** Unrecorded. */
  async quietly(method, path, { as, body } = {}) {
    const answer = await fetch(this.base + path, json(method, body, as));
    return answer.json().catch(() => undefined);
  }

  /** One call. Its answer is written down and given back. */
  async call(name, method, path, { as, body, raw, headers = {}, type, show = [], bytes = false, redirect } = {}) {
    const asked = { ...headers };
    if (as) asked.authorization = `Bearer ${as.token}`;
    if (type) asked["content-type"] = type;
    else if (body !== undefined) asked["content-type"] = "application/json";
    const mark = this.mark();
    const answer = await fetch(this.base + path, {
      method,
      headers: asked,
      body: raw ?? (body === undefined ? undefined : JSON.stringify(body)),
      redirect: redirect ?? "manual",
    });
    const content = Buffer.from(await answer.arrayBuffer());
    const told = bytes ? content.toString("base64") : parsed(content.toString("utf8"));
    const line = { status: answer.status, type: answer.headers.get("content-type"), body: told };
    for (const header of show) line[header] = answer.headers.get(header);
    await this.write(name, { call: `${method} ${path}`, as: as?.name, sent: raw === undefined ? body : "<raw>" }, line, mark);
    return told;
  }

  /** Opens a socket; gives it back where it was let in. */
  async connect(name, { as, auth, transports = ["websocket"], ...options } = {}) {
    const mark = this.mark();
    const socket = io(this.base, {
      path: "/v1/updates",
      transports,
      reconnection: false,
      forceNew: true,
      auth: { ...(as && { token: as.token }), ...auth },
      ...options,
    });
    const client = { name, socket, heard: [], answers: {} };
    socket.onAny((event, ...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      client.heard.push([event, ...args]);
      this.lastEvent = Date.now();
      if (ack && event === "rpc-request") client.answers[args[0].method]?.(args[0].params, ack);
    });
    socket.on("disconnect", (reason) => {
      client.heard.push(["disconnect", reason]);
      this.lastEvent = Date.now();
    });
    const outcome = await new Promise((resolve) => {
      socket.on("connect", () => resolve("connected"));
      socket.on("connect_error", (error) => resolve({ refused: error.message, data: /** @type {any} */ (error).data }));
      setTimeout(() => resolve("neither connected nor refused"), ACK_PATIENCE).unref();
    });
    if (outcome === "connected") this.sockets.set(name, client);
    else socket.disconnect();
    await this.write(`${name} connects`, { connect: auth ?? {}, as: as?.name, transports }, { connected: outcome }, mark);
    return outcome === "connected" ? client : undefined;
  }

  /** An event without an acknowledgement. */
  async emit(name, client, event, ...args) {
    const mark = this.mark();
    client.socket.emit(event, ...args);
    await this.write(name, { emit: event, from: client.name, sent: args }, {}, mark);
  }

  /** An event with one. */
  async ask(name, client, event, ...args) {
    const { patience = ACK_PATIENCE, atLeast } = this.next ?? {};
    this.next = undefined;
    const mark = this.mark();
    const from = Date.now();
    const answer = await client.socket
      .timeout(patience)
      .emitWithAck(event, ...args)
      .then((value) => ({ ack: value }))
      .catch(() => ({ ack: "none came" }));
    const line = { ...answer };
    if (atLeast) line.waited = Date.now() - from >= atLeast ? `${atLeast} ms or more` : `less than ${atLeast} ms`;
    await this.write(name, { emit: event, from: client.name, sent: args }, line, mark);
    return answer.ack;
  }

  /** For the next `ask`: how long to wait for it, and the time it has to take. */
  within(patience, atLeast) {
    this.next = { patience, atLeast };
    return this;
  }

  /** Lets a socket go. */
  async leave(name, client) {
    const mark = this.mark();
    client.socket.disconnect();
    this.sockets.delete(client.name);
    await this.write(name, { leave: client.name }, {}, mark);
  }

  /** Something found out by other means. */
  async note(name, told) {
    await this.write(name, {}, { found: told }, this.mark());
  }

  close() {
    for (const { socket } of this.sockets.values()) socket.disconnect();
  }

  mark() {
    return new Map([...this.sockets.values()].map((client) => [client.name, client.heard.length]));
  }

  async write(name, asked, answer, mark) {
    const full = `${this.theme}: ${name}`;
    if (this.lines.some((line) => line.name === full)) throw new Error(`two exchanges are called ${full}`);
    const known = this.expected?.get(full);
    await this.settle(known?.heard ?? {}, mark, this.expected !== undefined);
    const heard = {};
    for (const client of this.sockets.values()) {
      const from = mark.get(client.name) ?? 0;
      if (client.heard.length > from) heard[client.name] = client.heard.slice(from);
    }
    const line = { asked: { ...asked, ...("sent" in asked && { sent: short(asked.sent) }) }, answer, ...(Object.keys(heard).length > 0 && { heard }) };
    this.lines.push({ name: full, ...plain(line, this.names, this.started) });
  }

  /** Waits for what the other server sent, and then for silence. */
  async settle(wanted, mark, known) {
    const all = () =>
      Object.entries(wanted).every(([name, events]) => {
        const client = this.sockets.get(name);
        return !client || client.heard.length - (mark.get(name) ?? 0) >= events.length;
      });
    const until = Date.now() + (this.disappointed < DISAPPOINTMENTS ? PATIENCE : 1000);
    while (!all() && Date.now() < until) await sleep(5);
    if (!all()) this.disappointed += 1;
    if (this.sockets.size === 0) return;
    const quiet = known ? QUIET_KNOWN : QUIET_UNKNOWN;
    this.lastEvent = Math.max(this.lastEvent, Date.now());
    while (Date.now() - this.lastEvent < quiet) await sleep(5);
  }
}

/** The body of `POST /v1/auth`. */
export function signIn(keys, challenge = randomBytes(32)) {
  return {
    publicKey: base64(keys.publicKey),
    challenge: base64(challenge),
    signature: base64(nacl.sign.detached(challenge, keys.secretKey)),
  };
}

export const base64 = (bytes) => Buffer.from(bytes).toString("base64");
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function json(method, body, as) {
  return {
    method,
    headers: {
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(as && { authorization: `Bearer ${as.token}` }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  };
}

/** What was sent is for readers alone. */
function short(value) {
  if (Array.isArray(value) && value.length > 10) return [...value.slice(0, 2).map(short), `<${value.length - 2} more>`];
  if (Array.isArray(value)) return value.map(short);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, short(item)]));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
