// Push tokens, and the event that would be pushed. The tokens are none of Expo's, so nothing is
// ever sent.

export async function push(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  const id = made.session.id;
  script.names.give(id, "session");
  const event = (name, more = {}, as = owner) =>
    script.call(name, "POST", `/v1/sessions/${id}/push-event`, { as, body: { kind: "permission", title: "Claude asks", body: "May I?", ...more } });

  await script.call("no token yet", "GET", "/v1/push-tokens", { as: owner });
  await event("an event without tokens");
  const phone = await script.connect("phone", { as: owner, auth: { clientType: "user-scoped" } });
  const unnamed = await script.connect("phone of no kind", { as: owner });
  const terminal = await script.connect("terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: id, appState: "active" } });
  await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  await event("an event is told; an active terminal does not count", { kind: "done" });
  await script.emit("the phone is in front", phone, "app-state", { state: "active" });
  await event("an event while the phone is in front", { kind: "question", data: { any: ["thing"] } });
  await script.emit("the phone of no kind is in front too", unnamed, "app-state", { state: "active" });
  await script.emit("the phone is put away", phone, "app-state", { state: "inactive" });
  await event("an event while only the phone of no kind is in front");
  await script.emit("the other is put away too", unnamed, "app-state", { state: "background" });
  await script.emit("the phone tells nothing", phone, "app-state", null);
  await event("an event after it told nothing");
  const front = await script.connect("phone in front", { as: owner, auth: { clientType: "user-scoped", appState: "active" } });
  await event("an event with a second phone in front");
  await event("a stranger's event", {}, stranger);
  await script.emit("the terminal's state", terminal, "app-state", { state: "active" });
  await script.call("an event of a session that is not there", "POST", "/v1/sessions/none/push-event", { as: owner, body: { kind: "done", title: "t", body: "b" } });

  await script.leave("the second phone leaves", front);

  const add = (name, token) => script.call(name, "POST", "/v1/push-tokens", { as: owner, body: { token } });
  await add("a token", "one");
  await add("another", "two/with a slash");
  await add("the first again", "one");
  await script.call("both, the newest first", "GET", "/v1/push-tokens", { as: owner });
  await script.call("a stranger has none", "GET", "/v1/push-tokens", { as: stranger });
  await script.call("a stranger removes it", "DELETE", "/v1/push-tokens/one", { as: stranger });
  await script.call("remove by a path that is escaped", "DELETE", `/v1/push-tokens/${encodeURIComponent("two/with a slash")}`, { as: owner });
  await script.call("what is left", "GET", "/v1/push-tokens", { as: owner });
  await script.call("remove one that is not there", "DELETE", "/v1/push-tokens/none", { as: owner });
}
