// The phone's half: an account, the approval of a terminal, messages and calls.

import { randomBytes, randomUUID } from "node:crypto";
import { io } from "socket.io-client";
import nacl from "tweetnacl";
import { base64, contentKeys, dataKey, decrypted, encrypted, legacyKey, sealed } from "./seal.js";

/** The machine that runs this may be slow and busy. */
const PATIENCE = 120_000;

export class Phone {
  /** Makes an account. */
  static async register(server) {
    const phone = new Phone();
    phone.server = server;
    phone.secret = new Uint8Array(randomBytes(32));
    phone.content = contentKeys(phone.secret);
    const keys = nacl.sign.keyPair.fromSeed(phone.secret);
    const challenge = new Uint8Array(randomBytes(32));
    const told = await phone.call("POST", "/v1/auth", {
      publicKey: base64(keys.publicKey),
      challenge: base64(challenge),
      signature: base64(nacl.sign.detached(challenge, keys.secretKey)),
    });
    phone.token = told.token;
    /** @type {any[]} */
    phone.heard = [];
    phone.connect();
    await phone.until("the phone is connected", () => phone.socket.connected);
    return phone;
  }

  /** Like the app: connects again for ever. */
  connect() {
    this.socket = io(this.server, {
      path: "/v1/updates",
      transports: ["websocket"],
      auth: { token: this.token, clientType: "user-scoped", happyClient: "ios/1.7.0" },
      reconnectionDelay: 500,
      reconnectionDelayMax: 2000,
    });
    this.socket.on("update", (update) => this.heard.push(update));
    this.socket.on("ephemeral", (event) => this.heard.push(event));
  }

  async call(method, path, body) {
    const answer = await fetch(this.server + path, {
      method,
      headers: {
        "x-happy-client": "ios/1.7.0",
        ...(this.token && { authorization: `Bearer ${this.token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** Approves the terminal that shows `link`; by v1 with the whole secret, by v2 with the content key. */
  async approve(link, pairing) {
    const key = new Uint8Array(Buffer.from(link.replace("happy://terminal?", ""), "base64url"));
    const publicKey = base64(key);
    const state = await this.call("GET", `/v1/auth/request/status?publicKey=${encodeURIComponent(publicKey)}`);
    if (state.status !== "pending" || state.supportsV2 !== true) throw new Error(`the terminal's request is ${JSON.stringify(state)}`);
    const gift = pairing === "v1" ? this.secret : new Uint8Array([0, ...this.content.publicKey]);
    await this.call("POST", "/v1/auth/response", { publicKey, response: base64(sealed(gift, key)) });
  }

  /** The key of a session or a machine. */
  keyOf(row) {
    return row.dataEncryptionKey === null ? legacyKey(this.secret) : dataKey(row.dataEncryptionKey, this.content);
  }

  async machine(id) {
    const { machine } = await this.call("GET", `/v1/machines/${id}`);
    const key = this.keyOf(machine);
    return { ...machine, key, metadata: decrypted(machine.metadata, key), daemonState: machine.daemonState && decrypted(machine.daemonState, key) };
  }

  async session(id) {
    const { sessions } = await this.call("GET", "/v1/sessions");
    const row = sessions.find((session) => session.id === id);
    if (!row) throw new Error(`session ${id} is not in the list`);
    const key = this.keyOf(row);
    return { ...row, key, metadata: decrypted(row.metadata, key), agentState: row.agentState && decrypted(row.agentState, key) };
  }

  /** Every message of a session, in order. */
  async messages(session) {
    const all = [];
    for (;;) {
      const page = await this.call("GET", `/v3/sessions/${session.id}/messages?after_seq=${all.length}&limit=500`);
      for (const message of page.messages) {
        if (message.seq !== all.length + 1) throw new Error(`message ${message.seq} comes after ${all.length}`);
        all.push(decrypted(message.content.c, session.key));
      }
      if (!page.hasMore) return all;
    }
  }

  /** As a person types it. */
  async say(session, text, meta = {}) {
    const content = { role: "user", content: { type: "text", text }, meta: { sentFrom: "ios", ...meta } };
    await this.call("POST", `/v3/sessions/${session.id}/messages`, { messages: [{ content: encrypted(content, session.key), localId: randomUUID() }] });
  }

  /** Calls a method of a machine's or a session's worker. */
  async remote(owner, method, params) {
    const answer = await this.socket.timeout(PATIENCE).emitWithAck("rpc-call", { method: `${owner.id}:${method}`, params: encrypted(params, owner.key) });
    if (!answer.ok) throw new Error(`${method}: ${answer.error}`);
    return decrypted(answer.result, owner.key);
  }

  /** What was heard by the socket from now on. */
  mark() {
    return this.heard.length;
  }

  /** The first event since `mark` that `is` right. */
  hears(what, is, mark = 0) {
    return this.until(what, () => this.heard.slice(mark).find(is));
  }

  /** Polls a condition; the clients have timers of their own that nothing else could be waited for by. */
  async until(what, holds) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = await holds();
      if (found) return found;
      if (Date.now() > end) throw new Error(`never came: ${what}; heard last: ${JSON.stringify(this.heard.slice(-5)).slice(0, 1500)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  close() {
    this.socket.disconnect();
  }
}
