// Sessions over REST, and which sockets hear of them.

export async function sessions(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  await script.connect("phone", { as: owner });
  await script.connect("stranger's phone", { as: stranger });

  const make = async (name, body) => {
    const told = await script.call(name, "POST", "/v1/sessions", { as: owner, body });
    script.names.give(told.session?.id, `session ${body.tag}`);
    return told.session?.id;
  };
  await script.call("none yet", "GET", "/v1/sessions", { as: owner });
  await script.call("none yet, in pages", "GET", "/v2/sessions", { as: owner });
  // Before its id has a name it is told as such: the event comes with the answer.
  const first = await make("a new one; its state is ignored", { tag: "a", metadata: "bWV0YQ==", agentState: "c3RhdGU=" });
  await script.connect("terminal", { as: owner, auth: { clientType: "session-scoped", sessionId: first } });
  await make("the same tag is the same session", { tag: "a", metadata: "other", dataEncryptionKey: "AAECAw==" });
  const second = await make("with a key", { tag: "b", metadata: " not base64 \u00e4\n", agentState: null, dataEncryptionKey: "AAECAw==" });
  const third = await make("with a null key", { tag: "c", metadata: "", dataEncryptionKey: null });
  await script.call("an empty tag", "POST", "/v1/sessions", { as: owner, body: { tag: "", metadata: "m" } }).then((told) => script.names.give(told.session?.id, "session of no tag"));
  await script.call("a stranger with the same tag has another", "POST", "/v1/sessions", { as: stranger, body: { tag: "a", metadata: "m" } }).then((told) => script.names.give(told.session?.id, "stranger's session"));

  await script.call("all, the last changed first", "GET", "/v1/sessions", { as: owner });
  await script.call("all in pages", "GET", "/v2/sessions", { as: owner });
  const page = await script.call("a page of two", "GET", "/v2/sessions?limit=2", { as: owner });
  await script.call("the next page", "GET", `/v2/sessions?limit=2&cursor=${page.nextCursor}`, { as: owner });
  await script.call("behind the last", "GET", `/v2/sessions?cursor=cursor_v1_${first}`, { as: owner });
  await script.call("changed since a long time ago", "GET", "/v2/sessions?changedSince=1&limit=1", { as: owner });
  await script.call("changed since tomorrow", "GET", `/v2/sessions?changedSince=99999999999999`, { as: owner });
  await script.call("the active ones", "GET", "/v2/sessions/active", { as: owner });
  await script.call("two active ones", "GET", "/v2/sessions/active?limit=2", { as: owner });

  await script.call("a stranger archives", "POST", `/v1/sessions/${first}/archive`, { as: stranger });
  await script.call("archive without a body", "POST", `/v1/sessions/${first}/archive`, { as: owner });
  await script.call("archive again with one", "POST", `/v1/sessions/${first}/archive`, { as: owner, body: { any: 1 } });
  await script.call("the active ones without it", "GET", "/v2/sessions/active", { as: owner });
  await script.call("all, with the archived one on top", "GET", "/v1/sessions", { as: owner });
  await script.call("archive one that is not there", "POST", "/v1/sessions/none/archive", { as: owner });

  await script.call("a stranger deletes", "DELETE", `/v1/sessions/${first}`, { as: stranger });
  await script.call("delete", "DELETE", `/v1/sessions/${first}`, { as: owner });
  await script.call("delete again", "DELETE", `/v1/sessions/${first}`, { as: owner });
  await script.call("a deleted one is gone from the list", "GET", "/v1/sessions", { as: owner });
  await script.call("its messages", "GET", `/v3/sessions/${first}/messages`, { as: owner });
  const again = await script.call("its tag makes a new one", "POST", "/v1/sessions", { as: owner, body: { tag: "a", metadata: "m" } });
  await script.note("which has another id", typeof again.session?.id === "string" && again.session.id !== first);
  await script.note("ids grow", typeof second === "string" && second < third);
}
