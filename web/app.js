// The first page: pair this device, type or hold to talk, read and hear the answer.

import { Link } from "/link.js";
import { Player, canListen, listen, unlock } from "/sound.js";
import { fill, word } from "/words.js";

const $ = (id) => document.getElementById(id);
const link = new Link();
const player = new Player();

fill(document);
$("text").placeholder = word("message");
start();

async function start() {
  showConnection("connecting");
  const session = await ask("GET", "/api/v1/session").catch(() => null);
  if (!session) {
    showConnection("closed");
    setTimeout(start, 2000);
    return;
  }
  $("secure-hint").hidden = window.isSecureContext || !session.https_port;
  const code = new URLSearchParams(location.hash.slice(1)).get("claim");
  if (code) history.replaceState(null, "", location.pathname);
  if (session.role === "nobody") showPairing(session, code);
  else showTalk();
}

/** Asks the API; a refusal is thrown with the server's own sentence. */
async function ask(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const told = await answer.json();
  if (!told.success) throw new Error(told.error.message);
  return told.data;
}

// Pairing.

function showPairing(session, code) {
  showConnection("unpaired");
  $("pair").hidden = false;
  $("pair-help").textContent = word(session.claimed ? "pair_member" : "pair_claim");
  $("show-code").hidden = session.claimed;
  $("code").value = code ?? "";
  $("device-name").value = word(/Mobi/.test(navigator.userAgent) ? "name_phone" : "name_computer");
  (code ? $("device-name") : $("code")).focus();
}

$("pair").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("pair-error").textContent = "";
  try {
    await ask("POST", "/api/v1/pair", { code: $("code").value, name: $("device-name").value });
    $("pair").hidden = true;
    showTalk();
  } catch (error) {
    $("pair-error").textContent = error.message;
    $("code").select();
  }
});

$("show-code").addEventListener("click", async () => {
  $("pair-error").textContent = "";
  try {
    await ask("POST", "/api/v1/pair/code");
    $("pair-help").textContent = word("pair_shown");
    $("code").focus();
  } catch (error) {
    $("pair-error").textContent = error.message;
  }
});

// Talking.

let answering = null;
let stream = 0;
let turn = null;
let silenced = null;
let isBusy = false;
player.onidle = showStop;

function showTalk() {
  $("talk").hidden = false;
  $("controls").hidden = false;
  $("hold").hidden = !canListen();
  link.open();
  $("text").focus();
}

link.addEventListener("open", () => showConnection("open"));
link.addEventListener("closed", () => {
  showConnection("closed");
  isBusy = false;
  endHold();
  finish();
});
link.addEventListener("sound", ({ detail }) => {
  if (turn !== silenced) player.play(detail);
});
link.addEventListener("message", ({ detail }) => on[detail.type]?.(detail));

const on = {
  state(told) {
    $("state").textContent = told.state === "idle" ? "" : word(`state_${told.state}`);
    isBusy = ["thinking", "speaking", "transcribing"].includes(told.state);
    showStop();
  },
  transcript(told) {
    if (told.text) say("mine", told.text);
  },
  token(told) {
    if (told.turn === silenced) return;
    turn = told.turn;
    answering ??= say("box", "");
    answering.append(told.text);
    scroll();
  },
  audio_begin(told) {
    turn = told.turn;
    player.begin(told.rate);
  },
  turn_done(told) {
    if (told.interrupted && answering) note(answering, word("interrupted"));
    finish();
  },
  memory_saved(told) {
    note(answering ?? $("messages").lastElementChild, word("remembered", { title: told.title }));
  },
  error(told) {
    say("error", told.message);
    finish();
  },
};

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !link.isOpen) return;
  unlock();
  interrupt();
  say("mine", text);
  link.send({ type: "text", text });
  $("text").value = "";
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});

$("stop").addEventListener("click", interrupt);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") interrupt();
});

/** Silent at once here, whatever is still on its way from the box. */
function interrupt() {
  player.flush();
  if (answering || turn !== null) {
    silenced = turn;
    link.send({ type: "interrupt", reason: "user" });
  }
  finish();
}

function finish() {
  answering = null;
  showStop();
}

// Holding to talk: a press opens the microphone, letting go ends the question.

let holding = null;

async function beginHold() {
  if (holding || !link.isOpen) return;
  const mine = { ended: false, close: null, sequence: 0, stream: 0 };
  holding = mine;
  $("hold").setAttribute("aria-pressed", "true");
  interrupt();
  try {
    mine.stream = stream = (stream % 65535) + 1;
    link.send({ type: "audio_start", stream, format: "s16le", rate: 16000, endpoint: "client", mode: "chat" });
    const close = await listen((samples) => link.sendSound(mine.stream, mine.sequence++, samples));
    mine.close = close;
    if (mine.ended) close();
  } catch (error) {
    link.send({ type: "audio_end", stream: mine.stream, cancel: true });
    say("error", word("no_microphone", { why: error.message }));
    endHold();
  }
}

function endHold() {
  if (!holding) return;
  const mine = holding;
  holding = null;
  mine.ended = true;
  $("hold").setAttribute("aria-pressed", "false");
  mine.close?.();
  // A press that ended before the microphone was open said nothing.
  link.send({ type: "audio_end", stream: mine.stream, cancel: mine.sequence === 0 });
}

$("hold").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  $("hold").setPointerCapture(event.pointerId);
  beginHold();
});
for (const type of ["pointerup", "pointercancel"]) $("hold").addEventListener(type, endHold);
$("hold").addEventListener("contextmenu", (event) => event.preventDefault());
$("hold").addEventListener("keydown", (event) => {
  if ((event.key === " " || event.key === "Enter") && !event.repeat) {
    event.preventDefault();
    beginHold();
  }
});
$("hold").addEventListener("keyup", (event) => {
  if (event.key === " " || event.key === "Enter") endHold();
});

// Drawing.

function say(kind, text) {
  $("empty").hidden = true;
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  $("messages").append(line);
  while ($("messages").childElementCount > 200) $("messages").firstElementChild.remove();
  scroll();
  return line;
}

function note(line, text) {
  const small = document.createElement("small");
  small.textContent = text;
  line?.append(small);
  scroll();
}

function scroll() {
  const main = document.querySelector("main");
  main.scrollTop = main.scrollHeight;
}

function showStop() {
  $("stop").hidden = !isBusy && !player.isPlaying;
}

function showConnection(state) {
  $("connection").dataset.state = state;
  $("connection").textContent = word(`connection_${state}`);
}
