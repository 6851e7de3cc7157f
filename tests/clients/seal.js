// The cryptography of Happy's clients, by node:crypto and tweetnacl: what the server never can read.

import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from "node:crypto";
import nacl from "tweetnacl";

export const base64 = (bytes) => Buffer.from(bytes).toString("base64");
export const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

/** A key by its place in the tree of an account's secret. */
export function derived(secret, usage, path) {
  let node = createHmac("sha512", `${usage} Master Seed`).update(secret).digest();
  for (const index of path) node = createHmac("sha512", node.subarray(32)).update(Buffer.concat([Buffer.of(0), Buffer.from(index)])).digest();
  return new Uint8Array(node.subarray(0, 32));
}

/** The pair to whose public half data keys are sealed. */
export function contentKeys(secret) {
  const seed = derived(secret, "Happy EnCoder", ["content"]);
  return nacl.box.keyPair.fromSecretKey(new Uint8Array(createHash("sha512").update(seed).digest().subarray(0, 32)));
}

/** For one receiver: ephemeral public key, nonce, box. */
export function sealed(plain, publicKey) {
  const ephemeral = nacl.box.keyPair();
  const nonce = new Uint8Array(randomBytes(24));
  return new Uint8Array([...ephemeral.publicKey, ...nonce, ...nacl.box(plain, nonce, publicKey, ephemeral.secretKey)]);
}

/** The data key of a session or machine, from its `dataEncryptionKey`. */
export function dataKey(wrapped, content) {
  const bundle = bytes(wrapped);
  if (bundle[0] !== 0) throw new Error(`a data key of version ${bundle[0]}`);
  const key = nacl.box.open(bundle.slice(57), bundle.slice(33, 57), bundle.slice(1, 33), content.secretKey);
  if (!key) throw new Error("the data key is not for this account");
  return { key };
}

/** Without data keys everything lies under the account's secret. */
export const legacyKey = (secret) => ({ legacy: new Uint8Array(secret) });

export function encrypted(value, { key, legacy }) {
  const plain = Buffer.from(JSON.stringify(value));
  if (legacy) {
    const nonce = new Uint8Array(randomBytes(24));
    return base64([...nonce, ...nacl.secretbox(new Uint8Array(plain), nonce, legacy)]);
  }
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return base64(Buffer.concat([Buffer.of(0), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
}

export function decrypted(text, { key, legacy }) {
  const bundle = Buffer.from(text, "base64");
  if (legacy) {
    const plain = nacl.secretbox.open(new Uint8Array(bundle.subarray(24)), new Uint8Array(bundle.subarray(0, 24)), legacy);
    if (!plain) throw new Error("this is not under the account's secret");
    return JSON.parse(Buffer.from(plain).toString("utf8"));
  }
  if (bundle[0] !== 0) throw new Error(`a value of version ${bundle[0]}`);
  const decipher = createDecipheriv("aes-256-gcm", key, bundle.subarray(1, 13));
  decipher.setAuthTag(bundle.subarray(-16));
  return JSON.parse(Buffer.concat([decipher.update(bundle.subarray(13, -16)), decipher.final()]).toString("utf8"));
}
