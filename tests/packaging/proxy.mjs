// What clients do through nginx: `node proxy.mjs PART`, one part for each test of nginx.rs.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import path from "node:path";

const { NAME, HTTP, HTTPS, FOLDER, TOKEN } = process.env;
const limit = setTimeout(() => { throw new Error("took too long"); }, 100_000);
const require = createRequire(path.join(process.cwd(), "package.json"));
const ca = fs.readFileSync(path.join(FOLDER, "proxy", `${NAME}.pem`));
// The name leads to nginx, as a name server would say.
const lookup = (_, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4));
const agent = new https.Agent({ ca, lookup, keepAlive: false });
const bearer = { authorization: `Bearer ${TOKEN}` };

// A call over TLS; `Host` without a port, as on port 443.
const call = (method, target, { headers = {}, body, from } = {}) => new Promise((resolve, reject) => {
  const request = https.request(`https://${NAME}:${HTTPS}${target}`, { method, agent, servername: NAME, localAddress: from, headers: { host: NAME, ...headers } }, (answer) => {
    const parts = [];
    answer.on("data", (part) => parts.push(part));
    answer.on("end", () => {
      const bytes = Buffer.concat(parts);
      resolve({ status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString() });
    });
    answer.on("error", reject);
  });
  request.on("error", reject);
  request.end(body);
});

const parts = {
  async calls() {
    const moved = await new Promise((resolve, reject) => {
      http.get({ host: "127.0.0.1", port: HTTP, path: "/some/page?x=1", headers: { host: NAME } }, resolve).on("error", reject);
    });
    moved.resume();
    assert.equal(moved.statusCode, 301);
    assert.equal(moved.headers.location, `https://${NAME}/some/page?x=1`);
    const page = await call("GET", "/");
    assert.equal(page.status, 200);
    assert.match(page.headers["content-type"], /text\/html/);
    assert.match(JSON.parse((await call("GET", "/health")).text).status, /healthy|degraded/);
    // The page of this name may call, another may not.
    const origin = `https://${NAME}`;
    const from = async (page) => call("POST", "/api/v1/memories", {
      headers: { ...bearer, origin: page, "content-type": "application/json" }, body: JSON.stringify({ content: "through the proxy" }),
    });
    const ours = await from(origin);
    assert.equal(ours.status, 201, ours.text);
    assert.equal(ours.headers["access-control-allow-origin"], origin);
    assert.equal((await from("https://evil.example")).status, 403);
    const elsewhere = await call("GET", "/health", { headers: { host: "evil.example" } });
    assert.equal(elsewhere.status, 421, elsewhere.text);
  },

  async addresses() {
    // Behind nginx nobody is the machine itself, whatever a caller claims.
    for (const headers of [{}, { "x-forwarded-for": "127.0.0.1" }, { forwarded: "for=127.0.0.1" }]) {
      const refused = await call("GET", "/api/v1/memories", { headers, from: "127.0.0.9" });
      assert.ok([401, 403].includes(refused.status), refused.text);
    }
    // Each address has its own measure, and lies about it have no effect.
    const asked = async (from, count) => {
      const found = [];
      for (let n = 0; n < count; n += 1) {
        const lie = { "x-forwarded-for": `198.51.100.${n}` };
        found.push((await call("GET", "/api/v1/memories", { headers: lie, from })).status);
      }
      return found;
    };
    const first = await asked("127.0.0.2", 20);
    assert.ok(first.includes(429), `${first}`);
    const second = await asked("127.0.0.3", 1);
    assert.notEqual(second[0], 429);
  },

  async websocket() {
    const WebSocket = require("ws");
    const open = (headers) => new WebSocket(`wss://${NAME}:${HTTPS}/ws`, { agent, headers: { host: NAME, ...headers } });
    const stranger = open({});
    const refused = await new Promise((resolve) => {
      stranger.on("unexpected-response", (request, answer) => { request.destroy(); resolve(answer.statusCode); });
      stranger.on("error", () => {});
      stranger.on("open", () => resolve("open"));
    });
    assert.ok([401, 403].includes(refused), `${refused}`);
    const socket = open({ ...bearer, origin: `https://${NAME}` });
    const heard = [];
    let wake = () => {};
    socket.on("message", (data, isBinary) => { if (!isBinary) heard.push(JSON.parse(data)); wake(); });
    await new Promise((resolve, reject) => { socket.on("open", resolve); socket.on("error", reject); });
    const said = async (text) => {
      const before = heard.length;
      socket.send(JSON.stringify({ type: "text", data: text }));
      while (!heard.slice(before).some((message) => JSON.stringify(message).includes("flower"))) await new Promise((resolve) => { wake = resolve; });
    };
    await said("remember that the spare key is under the blue flower pot");
    await said("where is the spare key");
    socket.close();
    await new Promise((resolve) => socket.on("close", resolve));
  },

  async happy() {
    const { io } = require("socket.io-client");
    const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
    const challenge = crypto.randomBytes(32);
    const body = JSON.stringify({
      publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
      challenge: challenge.toString("base64"),
      signature: crypto.sign(null, challenge, privateKey).toString("base64"),
    });
    const signed = await call("POST", "/v1/auth", { headers: { "content-type": "application/json" }, body });
    assert.equal(signed.status, 200, signed.text);
    const { token } = JSON.parse(signed.text);
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      const socket = io(`https://${NAME}:${HTTPS}`, {
        path: "/v1/updates/", transports, agent, forceNew: true, extraHeaders: { host: NAME }, auth: { token, clientType: "user-scoped" },
      });
      await new Promise((resolve, reject) => { socket.once("connect", resolve); socket.once("connect_error", reject); });
      const { engine } = socket.io;
      if (transports.length === 2 && engine.transport.name === "polling") await new Promise((resolve) => engine.once("upgrade", resolve));
      assert.equal(engine.transport.name, transports.at(-1));
      assert.deepEqual(await socket.timeout(60_000).emitWithAck("ping"), {});
      // What is sent over REST comes in over the socket.
      const update = new Promise((resolve) => socket.once("update", resolve));
      const made = await call("POST", "/v1/sessions", {
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ tag: transports.join("+"), metadata: "bQ==" }),
      });
      assert.equal(made.status, 200, made.text);
      assert.equal((await update).body.t, "new-session");
      socket.disconnect();
    }
  },

  async events() {
    // A model that says the rest only once its first words came out of nginx.
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    const model = http.createServer((request, response) => {
      request.resume();
      response.writeHead(200, { "content-type": "text/event-stream" });
      const piece = (delta, finish_reason = null) => response.write(`data: ${JSON.stringify({
        id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason }],
      })}\n\n`);
      piece({ role: "assistant", content: "The first words, " });
      released.then(() => { piece({ content: "and the rest." }); piece({}, "stop"); response.end("data: [DONE]\n\n"); });
    });
    const port = Number(fs.readFileSync(path.join(FOLDER, "model.port"), "utf8"));
    await new Promise((resolve) => model.listen(port, "127.0.0.1", resolve));
    const text = await new Promise((resolve, reject) => {
      const request = https.request(`https://${NAME}:${HTTPS}/api/v1/chat`, {
        method: "POST", agent, headers: { host: NAME, "content-type": "application/json", ...bearer },
      }, (answer) => {
        assert.equal(answer.statusCode, 200);
        assert.match(answer.headers["content-type"], /event-stream/);
        let seen = "";
        answer.on("data", (part) => {
          seen += part;
          if (seen.includes("first words")) release();
        });
        answer.on("end", () => resolve(seen));
      });
      request.on("error", reject);
      request.end(JSON.stringify({ message: "tell me of the history of the bridge", stream: true }));
    });
    assert.match(text, /and the rest/);
    assert.match(text, /event: done/);
    model.close();
    model.closeAllConnections();
  },

  async backup() {
    const made = await call("POST", "/api/v1/backup", { headers: bearer });
    assert.equal(made.status, 201, made.text);
    const { name, bytes } = JSON.parse(made.text).data;
    assert.ok(bytes > 10_000_000, `${bytes}`);
    const fetched = await call("GET", `/api/v1/backup/${name}`, { headers: bearer });
    assert.equal(fetched.status, 200);
    assert.deepEqual(fetched.bytes, fs.readFileSync(path.join(FOLDER, "data/backups", name)));
    // The box compares every hash before it says so; a changed byte is its own refusal, not nginx's.
    const changed = Buffer.from(fetched.bytes);
    changed[bytes >> 1] ^= 0xff;
    const kind = { ...bearer, "content-type": "application/zip" };
    const refused = await call("POST", "/api/v1/restore", { headers: { ...kind, "content-length": bytes }, body: changed });
    assert.equal(refused.status, 400, refused.text);
    assert.match(JSON.parse(refused.text).error.message, /nothing was changed/);
    const taken = await call("POST", "/api/v1/restore", { headers: { ...kind, "transfer-encoding": "chunked" }, body: fetched.bytes });
    assert.equal(taken.status, 202, taken.text);
    assert.equal(JSON.parse(taken.text).data.restarting, true);
  },
};

await parts[process.argv[2]]();
clearTimeout(limit);
