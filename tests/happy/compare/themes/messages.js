// Messages over REST and over the socket: numbers, repetitions, pages, who hears them.

export async function messages(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  const other = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "o", metadata: "m" } });
  const id = made.session.id;
  script.names.give(id, "session");
  script.names.give(other.session.id, "other session");
  const path = `/v3/sessions/${id}/messages`;
  const phone = await script.connect("phone", { as: owner });
  const terminal = await script.connect("terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: id } });
  await script.connect("terminal of another session", { as: owner, auth: { clientType: "session-scoped", sessionId: other.session.id } });
  await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  await script.connect("stranger's phone", { as: stranger });
  const post = (name, list, as = owner) =>
    script.call(name, "POST", path, { as, body: { messages: list.map(([content, localId]) => ({ content, localId })) } });

  await script.call("none yet", "GET", path, { as: owner });
  await post("one", [["Y2lwaGVy", "l1"]]);
  await post("the same local id again, with one more", [["b3RoZXI=", "l1"], ["bmV3", "l2"]]);
  await post("the same local id twice at once", [["first", "l3"], ["second", "l3"], ["third", "l4"]]);
  await post("all known: nothing is stored", [["x", "l4"], ["x", "l1"]]);
  await post("an empty content is stored and not told", [["", "l5"], ["after it", "l6"]]);
  await post("a content that is no base64", [[" spaces stay \n\u00e4\u{1f600} ", "l7"]]);
  await post("a stranger", [["x", "l8"]], stranger);
  await script.call("a session that is not there", "POST", "/v3/sessions/none/messages", { as: owner, body: { messages: [{ content: "c", localId: "l" }] } });

  await script.emit("over the socket: the sender hears nothing", phone, "message", { sid: id, message: "c29ja2V0", localId: "s1" });
  await script.emit("the terminal sends", terminal, "message", { sid: id, message: "dGVybWluYWw=" });
  await script.emit("a local id that is a number is none", phone, "message", { sid: id, message: "number", localId: 5 });
  await script.emit("for a session that is not there", phone, "message", { sid: "none", message: "x", localId: "s3" });
  await script.emit("nothing at all", phone, "message");
  await script.emit("null", phone, "message", null);

  await script.call("all", "GET", path, { as: owner });
  await script.call("after the second", "GET", `${path}?after_seq=2&limit=2`, { as: owner });
  await script.call("after the last", "GET", `${path}?after_seq=1000`, { as: owner });
  await script.call("backwards from far away", "GET", `${path}?before_seq=2147483647&limit=3`, { as: owner });
  await script.call("backwards from even farther away", "GET", `${path}?before_seq=9007199254740991&limit=3`, { as: owner });
  await script.call("backwards before the third", "GET", `${path}?before_seq=3`, { as: owner });
  await script.call("backwards before the first", "GET", `${path}?before_seq=1`, { as: owner });
  await script.call("exactly as many as there are", "GET", `${path}?after_seq=0&limit=500`, { as: owner });
  await script.call("the old way, the newest first", "GET", `/v1/sessions/${id}/messages`, { as: owner });
  await script.call("the old way for a stranger", "GET", `/v1/sessions/${id}/messages`, { as: stranger });
  await script.call("for a stranger", "GET", path, { as: stranger });
  await script.call("the session knows the last number", "POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  await post("a hundred at once", Array.from({ length: 100 }, (_, at) => [`c${at}`, `many ${at}`]));
  await script.call("a hundred and more are left", "GET", `${path}?after_seq=1`, { as: owner });
}

/** Here the numbers may go apart, so it has a session of its own. */
export async function repetitions(script) {
  const owner = await script.account("owner");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  const id = made.session.id;
  script.names.give(id, "session");
  const phone = await script.connect("phone", { as: owner });
  await script.connect("terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: id } });
  await script.emit("a message", phone, "message", { sid: id, message: "c29ja2V0", localId: "l1" });
  await script.emit("the same local id over the socket is ignored", phone, "message", { sid: id, message: "again", localId: "l1" });
  await script.emit("the one after it", phone, "message", { sid: id, message: "next", localId: "l2" });
  await script.emit("a message that is no text", phone, "message", { sid: id, message: 5, localId: "l3" });
  await script.call("what is stored", "GET", `/v3/sessions/${id}/messages`, { as: owner });
}
