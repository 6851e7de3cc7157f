// What a session's sockets send: metadata, state, heartbeats, its end.

export async function sessionEvents(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "bTA=" } });
  const other = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "o", metadata: "m" } });
  const sid = made.session.id;
  script.names.give(sid, "session");
  script.names.give(other.session.id, "other session");
  const phone = await script.connect("phone", { as: owner });
  const terminal = await script.connect("terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: sid } });
  await script.connect("second terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: sid } });
  await script.connect("terminal of another session", { as: owner, auth: { clientType: "session-scoped", sessionId: other.session.id } });
  await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  const theirs = await script.connect("stranger's phone", { as: stranger });

  const metadata = (name, more, socket = terminal) => script.ask(name, socket, "update-metadata", { sid, metadata: "bQ==", expectedVersion: 0, ...more });
  await metadata("new metadata: the sender hears it too", { metadata: "bTE=" });
  await metadata("metadata of an old version", {});
  await metadata("metadata of a version to come", { expectedVersion: 7 });
  await metadata("metadata from the phone", { metadata: "bTI=", expectedVersion: 1 }, phone);
  await metadata("empty metadata", { metadata: "", expectedVersion: 2 });
  await metadata("metadata that is null", { metadata: null, expectedVersion: 3 });
  await metadata("metadata without a version", { expectedVersion: undefined });
  await metadata("metadata with a version that is text", { expectedVersion: "3" });
  await metadata("metadata of no session", { sid: "" });
  script.within(1500);
  await metadata("metadata of an unknown session", { sid: "none" });
  script.within(1500);
  await metadata("metadata of another's session", { expectedVersion: 3 }, theirs);
  await script.ask("metadata of nothing", terminal, "update-metadata", null);
  await script.emit("metadata without an acknowledgement", terminal, "update-metadata", { sid, metadata: "bTQ=", expectedVersion: 3 });

  const state = (name, more, socket = terminal) => script.ask(name, socket, "update-state", { sid, agentState: "cw==", expectedVersion: 0, ...more });
  await state("a first state", { agentState: "czE=" });
  await state("a state of an old version", {});
  await state("a state of null", { agentState: null, expectedVersion: 1 });
  await state("a state of an old version, of null", { expectedVersion: 1 });
  await state("a state from the phone", { expectedVersion: 2 }, phone);
  await state("a state that is a number", { agentState: 5, expectedVersion: 3 });
  await state("a state without a field", { agentState: undefined, expectedVersion: 3 });
  await state("a state of an unknown session", { sid: "none" });
  await state("a state of another's session", { expectedVersion: 3 }, theirs);
  await script.call("the session after all that", "GET", "/v1/sessions", { as: owner });

  const alive = (name, more = {}, socket = terminal) => script.emit(name, socket, "session-alive", { sid, time: Date.now() - 10, thinking: true, mode: "remote", ...more });
  await alive("a heartbeat");
  await alive("a heartbeat without thinking", { thinking: undefined });
  await alive("a heartbeat of the future is of now", { time: Date.now() + 3_600_000 });
  await alive("a heartbeat of long ago", { time: Date.now() - 700_000 });
  await alive("a heartbeat without a time", { time: undefined });
  await alive("a heartbeat with a text for its time", { time: "now" });
  await alive("a heartbeat of an unknown session", { sid: "none" });
  await alive("a heartbeat from the phone", {}, phone);
  await alive("a heartbeat of a stranger", {}, theirs);
  await script.emit("a heartbeat of nothing", terminal, "session-alive", null);
  await script.ask("ping", terminal, "ping");
  await script.ask("an event that nobody knows", script.within(1000) && terminal, "nobody-knows-this", {});

  const end = (name, more = {}, socket = terminal) => script.emit(name, socket, "session-end", { sid, time: Date.now() - 10, ...more });
  await end("an end of long ago", { time: Date.now() - 700_000 });
  await end("an end without a time", { time: undefined });
  await end("an end by a stranger", {}, theirs);
  await end("the end");
  await alive("a heartbeat after the end is ignored");
  await script.call("the session is not active", "GET", "/v1/sessions", { as: owner });
  await script.call("its tag wakes it", "POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "x" } });
  await alive("a heartbeat counts again");
  await script.call("archive", "POST", `/v1/sessions/${sid}/archive`, { as: owner });
  await alive("a heartbeat after the archive is ignored");
  await end("an end of the future is of now", { time: Date.now() + 3_600_000 });
  await script.call("delete", "DELETE", `/v1/sessions/${sid}`, { as: owner });
  await alive("a heartbeat after the deletion");
  await script.ask("a state after the deletion", terminal, "update-state", { sid, agentState: "x", expectedVersion: 3 });
}
