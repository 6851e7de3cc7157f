// The key-value store with batches that are all or nothing.

export async function kv(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  await script.connect("phone", { as: owner });
  await script.connect("stranger's phone", { as: stranger });
  const change = (name, ...mutations) => script.call(name, "POST", "/v1/kv", { as: owner, body: { mutations: mutations.map(([key, value, version]) => ({ key, value, version })) } });
  const get = (name, path, as = owner) => script.call(name, "GET", `/v1/kv${path}`, { as });

  await get("none yet", "");
  await change("two new ones", ["a/1", "dmFsdWU=", -1], ["a/2", "dg==", -1]);
  await get("one", "/a%2F1");
  await change("an old version and a new key: nothing happens", ["a/1", "eA==", -1], ["b", "eA==", -1]);
  await get("nothing happened", "/b");
  await change("every stale key is told", ["a/1", "eA==", 5], ["a/2", "eA==", 7], ["c", "eA==", 0]);
  await change("the next version", ["a/1", "bmV4dA==", 0]);
  await change("two changes of one key at once", ["a/1", "MQ==", 1], ["a/1", "Mg==", 2]);
  await get("what came of it", "/a%2F1");
  await change("delete", ["a/2", null, 0]);
  await get("a deleted one", "/a%2F2");
  await change("its version goes on: as new it is stale", ["a/2", "eA==", -1]);
  await change("and from there it is made anew", ["a/2", "eA==", 1]);
  await change("delete what never was", ["never", null, -1]);
  await get("what never was", "/never");
  await change("an empty value deletes", ["a/2", "", 2]);
  await get("an empty one", "/a%2F2");
  await change("keys with spaces and percent", ["dir/x y", "eA==", -1], ["100%_done", "eA==", -1], ["100 done", "eA==", -1], ["\u00e4\u{1f600}", "eA==", -1], ["A/1", "eA==", -1], ["", "eA==", -1]);
  await get("a key with a space", "/dir%2Fx%20y");
  await get("a key of other letters", `/${encodeURIComponent("\u00e4\u{1f600}")}`);
  await get("all in order", "");
  await get("by prefix", "?prefix=a%2F");
  await get("by a prefix with wildcards", "?prefix=100%25_");
  await get("by an empty prefix", "?prefix=&limit=2");
  await get("of a stranger", "", stranger);
  await get("one of a stranger", "/a%2F1", stranger);
  const bulk = (name, keys, as = owner) => script.call(name, "POST", "/v1/kv/bulk", { as, body: { keys } });
  await bulk("many", ["a/1", "a/2", "none"]);
  await bulk("the same twice", ["a/1", "a/1"]);
  await bulk("many of a stranger", ["a/1"], stranger);
  await change("the same new key twice", ["twin", "MQ==", -1], ["twin", "Mg==", -1]);
  await change("a value that is no base64", ["odd", "%%%", -1]);
  await change("a version that is no whole number", ["half", "eA==", -0.5]);
}
