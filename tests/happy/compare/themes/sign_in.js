// A key signs a challenge of its own choosing.

import nacl from "tweetnacl";
import { base64, signIn } from "../script.js";

export async function signInTheme(script) {
  const keys = nacl.sign.keyPair();
  const told = await script.call("a new key", "POST", "/v1/auth", { body: named(script, signIn(keys), "new key") });
  script.names.give(JSON.parse(atob(told.token.split(".")[1])).sub, "owner");
  const owner = { name: "owner", token: told.token };
  const body = signIn(keys);
  await script.call("the same key again", "POST", "/v1/auth", { body: named(script, body, "again") });
  await script.call("the same challenge again", "POST", "/v1/auth", { body });
  const profile = await script.call("the account of the token", "GET", "/v1/account/profile", { as: owner });
  await script.note("the token's account is the profile's", profile.id === JSON.parse(atob(told.token.split(".")[1])).sub);
  await script.note("the payload needs no URL-safe letter", !/[-_]/.test(told.token.split(".")[1]));

  const other = signIn(nacl.sign.keyPair());
  await script.call("another key's signature", "POST", "/v1/auth", { body: named(script, { ...body, signature: other.signature }, "other") });
  await script.call("another challenge", "POST", "/v1/auth", { body: named(script, { ...body, challenge: base64(Buffer.alloc(32, 1)) }, "challenge") });
  await script.call("an empty challenge", "POST", "/v1/auth", { body: named(script, signIn(keys, Buffer.alloc(0)), "empty") });
  await script.call("a long challenge", "POST", "/v1/auth", { body: named(script, signIn(keys, Buffer.alloc(1000, 3)), "long") });
  await script.call("a short key", "POST", "/v1/auth", { body: named(script, { ...body, publicKey: "AAAA" }, "short") });
  await script.call("a short signature", "POST", "/v1/auth", { body: named(script, { ...body, signature: "AAAA" }, "short") });
  await script.call("no base64", "POST", "/v1/auth", { body: named(script, { ...body, publicKey: "%%%%" }, "none") });
  await script.call("empty fields", "POST", "/v1/auth", { body: { publicKey: "", challenge: "", signature: "" } });
}

function named(script, body, name) {
  script.names.give(body.publicKey, `${name}: key`);
  script.names.give(body.challenge, `${name}: challenge`);
  script.names.give(body.signature, `${name}: signature`);
  return body;
}
