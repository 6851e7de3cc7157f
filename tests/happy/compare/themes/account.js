// Profile, settings with versions, usage.

export async function account(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const phone = await script.connect("phone", { as: owner });
  await script.connect("stranger's phone", { as: stranger });
  await script.call("a new profile", "GET", "/v1/account/profile", { as: owner });

  const set = (name, settings, expectedVersion) => script.call(name, "POST", "/v1/account/settings", { as: owner, body: { settings, expectedVersion } });
  await script.call("no settings yet", "GET", "/v1/account/settings", { as: owner });
  await set("the first", "YQ==", 0);
  await set("an old version", "Yg==", 0);
  await set("a version to come", "Yg==", 9);
  await set("null", null, 1);
  await set("an old version of null", "Yg==", 1);
  await set("the empty text", "", 2);
  await script.call("the settings", "GET", "/v1/account/settings", { as: owner });
  await script.call("the stranger's are untouched", "GET", "/v1/account/settings", { as: stranger });

  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  const id = made.session.id;
  script.names.give(id, "session");
  await script.settle({}, new Map(), true);
  const whole = { tokens: { total: 10, input: 4, output: 6, cache_creation: 0, cache_read: 0 }, cost: { total: 0.5, input: 0.25, output: 0.25 } };
  const report = (name, more) => script.ask(name, phone, "usage-report", { key: "claude-session", sessionId: id, ...whole, ...more });
  await report("usage", {});
  await report("usage of the same key replaces it", { tokens: { total: 20, input: 8, output: 12, words: "not a number" } });
  await report("usage of another key", { key: "other" });
  await report("usage without a key", { key: undefined });
  await report("usage with a number for its key", { key: 5 });
  await report("usage without tokens", { tokens: undefined });
  await report("usage without a total", { tokens: { input: 1 } });
  await report("usage without cost", { cost: undefined });
  await report("usage with a total that is text", { cost: { total: "1" } });
  await report("usage with a number for its session", { sessionId: 5 });
  await report("usage of an unknown session", { sessionId: "none" });
  await report("usage without a session", { sessionId: undefined });
  await script.ask("usage of nothing", phone, "usage-report", null);

  const query = (name, body, as = owner) => script.call(name, "POST", "/v1/usage/query", { as, body });
  const now = Math.floor(Date.now() / 1000);
  const outcome = (told) => told;
  await query("asked for all", {}).then(outcome);
  await query("by the hour", { groupBy: "hour", sessionId: id });
  await query("nulls", { groupBy: null, sessionId: null, startTime: null, endTime: null });
  await script.call("since long ago", "POST", "/v1/usage/query", { as: owner, body: { startTime: 1, groupBy: "day" } });
  await script.call("until long ago", "POST", "/v1/usage/query", { as: owner, body: { endTime: 1000 } });
  await script.note("since tomorrow", await script.quietly("POST", "/v1/usage/query", { as: owner, body: { startTime: now + 86_400 } }));
  await query("of an unknown session", { sessionId: "none" });
  await query("of another's session", { sessionId: id }, stranger);
  await query("of a stranger", {}, stranger);
}
