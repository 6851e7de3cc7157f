// The unmodified client from npm against a running server: `node client.mjs PORT`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const { io } = createRequire(import.meta.url)("socket.io-client");

const limit = setTimeout(() => { throw new Error("took too long"); }, 20_000);
const connect = (options) => io(`http://127.0.0.1:${process.argv[2]}`, {
  path: "/v1/updates/", transports: ["websocket"], forceNew: true, reconnectionDelay: 50, ...options,
});
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

const refused = connect({ auth: { token: "wrong" } });
const [error] = await heard(refused, "connect_error");
assert.equal(error.message, "Invalid authentication token");
refused.disconnect();

const socket = connect({ auth: { token: "right" } });
await heard(socket, "connect");
const first = socket.id;
let back = heard(socket, "message-back");
socket.emit("message", 1, "zwei", { drei: [null] });
assert.deepEqual(await back, [1, "zwei", { drei: [null] }]);
assert.equal(await socket.timeout(10_000).emitWithAck("message-with-ack", "ä"), "ä");

socket.once("ask", (answer) => answer("yes", 2));
const asked = heard(socket, "asked");
socket.emit("ask me", 10_000);
assert.deepEqual(await asked, [["yes", 2]]);

const other = connect();
await heard(other, "connect");
const update = heard(other, "update");
socket.emit("shout", { t: "new-message" });
assert.deepEqual(await update, [{ t: "new-message" }]);

// A transport that breaks is opened anew by the client itself.
const gone = heard(socket, "disconnect");
const again = heard(socket, "connect");
socket.io.engine.close();
await gone;
await again;
assert.notEqual(socket.id, first);

const thrown = heard(other, "disconnect");
socket.emit("throw out");
assert.deepEqual((await thrown)[0], "io server disconnect");
socket.disconnect();
clearTimeout(limit);
