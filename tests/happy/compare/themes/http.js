// What holds for every call: missing routes, broken bodies, and which check comes first.

import { randomUUID } from "node:crypto";

const PROBE = { accept: "text/plain" };

/** Every call behind a token; with a body that is accepted and some that are not. */
const CALLS = [
  ["POST", "/v1/auth/response", { publicKey: "AA==", response: "x" }, [{}, { publicKey: 1, response: "x" }, { publicKey: "AA==" }]],
  ["POST", "/v1/auth/account/response", { publicKey: "AA==", response: "x" }, [{}, { response: "x" }]],
  ["POST", "/v1/sessions", { tag: "t", metadata: "m" }, [{}, { tag: "t" }, { tag: 1, metadata: "m" }, { tag: "t", metadata: "m", agentState: 1 }, { tag: "t", metadata: "m", dataEncryptionKey: 5 }, []]],
  ["GET", "/v1/sessions"],
  ["GET", "/v2/sessions"],
  ["GET", "/v2/sessions/active"],
  ["POST", "/v1/sessions/none/archive"],
  ["DELETE", "/v1/sessions/none"],
  ["GET", "/v1/sessions/none/messages"],
  ["GET", "/v3/sessions/none/messages"],
  ["POST", "/v3/sessions/none/messages", { messages: [{ content: "c", localId: "l" }] }, [{}, { messages: [] }, { messages: [{ content: "c" }] }, { messages: [{ content: "c", localId: "" }] }, { messages: Array(101).fill({ content: "c", localId: "l" }) }]],
  ["POST", "/v1/machines", { id: "m", metadata: "x" }, [{}, { id: "m" }, { id: "m", metadata: "x", daemonState: null }, { id: 5, metadata: "x" }]],
  ["GET", "/v1/machines"],
  ["GET", "/v1/machines/none"],
  ["DELETE", "/v1/machines/none"],
  ["GET", "/v1/account/profile"],
  ["GET", "/v1/account/settings"],
  ["POST", "/v1/account/settings", { settings: "s", expectedVersion: 9 }, [{}, { settings: "s" }, { settings: 1, expectedVersion: 0 }, { settings: "s", expectedVersion: -1 }, { settings: "s", expectedVersion: 0.5 }, { expectedVersion: 0 }]],
  ["POST", "/v1/usage/query", {}, [{ startTime: 0 }, { startTime: "x" }, { groupBy: "week" }, { endTime: 1.5 }]],
  ["POST", "/v1/push-tokens", { token: "t" }, [{}, { token: 1 }]],
  ["GET", "/v1/push-tokens"],
  ["DELETE", "/v1/push-tokens/none"],
  ["POST", "/v1/sessions/none/push-event", { kind: "done", title: "t", body: "b" }, [{}, { kind: "else", title: "t", body: "b" }, { kind: "done", title: "", body: "b" }, { kind: "done", title: "t".repeat(201), body: "b" }, { kind: "done", title: "t", body: "b".repeat(501) }, { kind: "done", title: "t", body: "b", data: "x" }]],
  ["GET", "/v1/kv/none"],
  ["GET", "/v1/kv"],
  ["POST", "/v1/kv/bulk", { keys: ["k"] }, [{}, { keys: [] }, { keys: [1] }, { keys: Array(101).fill("k") }]],
  ["POST", "/v1/kv", { mutations: [{ key: "k", value: "v", version: 7 }] }, [{}, { mutations: [] }, { mutations: [{ key: "k", value: "v" }] }, { mutations: [{ key: "k", version: 0 }] }, { mutations: Array(101).fill({ key: "k", value: "v", version: 7 }) }]],
  ["GET", "/v1/artifacts"],
  ["GET", "/v1/artifacts/none"],
  ["POST", "/v1/artifacts", undefined, [{}, { id: "no uuid", header: "AA==", body: "AA==", dataEncryptionKey: "AA==" }]],
  ["POST", "/v1/artifacts/none", {}, [{ header: 1 }, { expectedHeaderVersion: -1 }, { expectedBodyVersion: 0.5 }]],
  ["DELETE", "/v1/artifacts/none"],
  ["GET", "/v1/access-keys/none/none"],
  ["POST", "/v1/access-keys/none/none", { data: "d" }, [{}, { data: 1 }]],
  ["PUT", "/v1/access-keys/none/none", { data: "d", expectedVersion: 1 }, [{}, { data: "d" }, { data: "d", expectedVersion: -1 }]],
  ["GET", "/v1/user/none"],
  ["GET", "/v1/user/search?query=x"],
  ["POST", "/v1/friends/add", { uid: "none" }, [{}, { uid: 1 }]],
  ["POST", "/v1/friends/remove", { uid: "none" }, [{}, { uid: 1 }]],
  ["GET", "/v1/friends"],
  ["GET", "/v1/feed"],
  ["POST", "/v1/connect/openai/register", { token: "t" }, [{}, { token: 1 }]],
  ["GET", "/v1/connect/openai/token"],
  ["DELETE", "/v1/connect/openai"],
  ["GET", "/v1/connect/tokens"],
  ["GET", "/v1/connect/github/params"],
  ["DELETE", "/v1/connect/github"],
  ["POST", "/v1/voice/conversations", { agentId: "a" }, [{}, { agentId: 1 }]],
  ["GET", "/v1/voice/usage"],
  ["POST", "/v1/sessions/none/attachments/request-upload", { filename: "f", size: 1 }, [{}, { filename: "f" }, { filename: "f", size: 10485761 }, { filename: "f", size: "1" }]],
  ["POST", "/v1/sessions/none/attachments/request-download", { ref: "r" }, [{}, { ref: 1 }]],
  ["GET", "/v1/sessions/none/attachments/a.enc"],
];

/** Those without one. */
const OPEN = [
  ["POST", "/v1/auth", [{}, { publicKey: "AA==", challenge: "AA==" }, { publicKey: 1, challenge: "AA==", signature: "AA==" }]],
  ["POST", "/v1/auth/request", [{}, { publicKey: null }, { publicKey: "AA==", supportsV2: "yes" }]],
  ["POST", "/v1/auth/account/request", [{}, { publicKey: 5 }]],
  ["GET", "/v1/auth/request/status", []],
  ["POST", "/v1/version", [{}, { platform: "ios", version: "1.0.0" }]],
];

export async function http(script) {
  const owner = await script.account("owner");

  await script.call("the app asks whether this is a server", "GET", "/", { headers: PROBE });
  await script.call("health", "GET", "/health");
  await script.call("an unknown path", "GET", "/v1/nope?x=1");
  await script.call("an unknown path with a token", "GET", "/v1/nope", { as: owner });
  await script.call("another method on a known path", "PUT", "/v1/sessions", { as: owner, body: {} });
  await script.call("another method on an open path", "GET", "/v1/auth");
  await script.call("an old voice path", "POST", "/v1/voice/token", { as: owner, body: { agentId: "a" } });
  await script.call("a file that is not there", "GET", "/files/public/none.png");
  await script.call("a file outside of the folder", "GET", "/files/..%2f..%2fetc%2fpasswd");
  await script.call("HEAD where GET is", "HEAD", "/v1/sessions", { as: owner });
  await script.call("a preflight", "OPTIONS", "/v1/sessions", {
    headers: { origin: "https://app.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,x-happy-client" },
    show: ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"],
  });
  await script.call("a page of another origin", "GET", "/v1/account/settings", { as: owner, headers: { origin: "https://app.example" }, show: ["access-control-allow-origin"] });
  await script.call("an error for a page of another origin", "GET", "/v1/account/settings", { headers: { origin: "https://app.example" }, show: ["access-control-allow-origin"] });
  await script.call("with the client's label", "GET", "/v1/account/settings", { as: owner, headers: { "x-happy-client": "cli/1.2.5" } });

  await script.call("GET with a type and no body", "GET", "/v1/account/settings", { as: owner, type: "application/json" });
  await script.call("DELETE with a type and no body", "DELETE", "/v1/push-tokens/none", { as: owner, type: "application/json" });
  await script.call("POST with a type and an empty body", "POST", "/v1/usage/query", { as: owner, type: "application/json", raw: "" });
  await script.call("POST with an empty body where fields are needed", "POST", "/v1/push-tokens", { as: owner, type: "application/json", raw: "" });
  await script.call("broken JSON", "POST", "/v1/push-tokens", { as: owner, type: "application/json", raw: '{"token":' });
  await script.call("broken JSON without a token", "POST", "/v1/push-tokens", { type: "application/json", raw: '{"token":' });
  await script.call("text for JSON", "POST", "/v1/push-tokens", { as: owner, type: "text/plain", raw: "hello" });
  await script.call("a form for JSON", "POST", "/v1/push-tokens", { as: owner, type: "application/x-www-form-urlencoded", raw: "token=x" });
  await script.call("no type and no body where fields are needed", "POST", "/v1/push-tokens", { as: owner });
  await script.call("unknown fields", "POST", "/v1/push-tokens", { as: owner, body: { token: "t", more: { than: ["asked"] } } });
  await script.call("JSON with a charset", "POST", "/v1/push-tokens", { as: owner, type: "application/json; charset=utf-8", raw: '{"token":"t2"}' });

  const wrong = (authorization) => ({ headers: { authorization } });
  await script.call("another scheme", "GET", "/v1/account/settings", wrong("Basic eDp5"));
  await script.call("a scheme in small letters", "GET", "/v1/account/settings", wrong(`bearer ${owner.token}`));
  await script.call("an empty token", "GET", "/v1/account/settings", wrong("Bearer "));
  await script.call("a token that is none", "GET", "/v1/account/settings", wrong("Bearer nonsense"));
  await script.call("a token of another server", "GET", "/v1/account/settings", wrong(`Bearer ${foreign(owner.id)}`));
  await script.call("a token with another signature", "GET", "/v1/account/settings", wrong(`Bearer ${bent(owner.token)}`));
  await script.call("a token with a piece missing", "GET", "/v1/account/settings", wrong(`Bearer ${owner.token.split(".").slice(0, 2).join(".")}`));

  for (const [method, path, good, bad = []] of CALLS) {
    const call = `${method} ${path}`;
    await script.call(`${call} without a token`, method, path, { body: good });
    for (const [at, body] of bad.entries()) {
      await script.call(`${call} with bad body ${at + 1}`, method, path, { as: owner, body });
      if (at === 0) await script.call(`${call} with bad body 1 and no token`, method, path, { body });
    }
  }
  for (const [method, path, bad] of OPEN) {
    if (bad.length === 0) await script.call(`${method} ${path} without its query`, method, path);
    for (const [at, body] of bad.entries()) await script.call(`${method} ${path} with bad body ${at + 1}`, method, path, { body });
  }

  for (const query of ["limit=0", "limit=501", "limit=x", "after_seq=-1", "before_seq=0", "after_seq=1&before_seq=5", "after_seq=1.5"]) {
    await script.call(`messages with ${query}`, "GET", `/v3/sessions/none/messages?${query}`, { as: owner });
  }
  for (const query of ["limit=0", "limit=201", "limit=x", "changedSince=0", "changedSince=x", "cursor=nonsense", "cursor=cursor_v2_x"]) {
    await script.call(`sessions with ${query}`, "GET", `/v2/sessions?${query}`, { as: owner });
  }
  for (const query of ["limit=0", "limit=501"]) await script.call(`active sessions with ${query}`, "GET", `/v2/sessions/active?${query}`, { as: owner });
  for (const query of ["limit=0", "limit=1001", "limit=x"]) await script.call(`keys with ${query}`, "GET", `/v1/kv?${query}`, { as: owner });
  for (const query of ["limit=0", "limit=201"]) await script.call(`the feed with ${query}`, "GET", `/v1/feed?${query}`, { as: owner });
  await script.call("a search without its query", "GET", "/v1/user/search", { as: owner });
  await script.call("a bad query without a token", "GET", "/v3/sessions/none/messages?limit=0");
}

/** Looks like a token and was signed by nobody here. */
function foreign(account) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "EdDSA" })}.${part({ sub: account, iat: 1, nbf: 1, iss: "handy", jti: randomUUID() })}.${Buffer.alloc(64, 7).toString("base64url")}`;
}

function bent(token) {
  const at = token.lastIndexOf(".") + 10;
  return token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
}
