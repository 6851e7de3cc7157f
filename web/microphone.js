// The microphone of this device, and its sound as a file.

import { context } from "./player.js";

/** False on plain HTTP from elsewhere: browsers hide the microphone there. */
export function canListen() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia) && "AudioWorkletNode" in window;
}

const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/**
 * Opens the microphone; `heard` gets 20 ms of s16 at 16 kHz at a time. Returns how to close it,
 * which lets go of the microphone itself, so that a phone gives its loudspeaker back.
 * @param {(samples: Int16Array) => void} heard
 * @returns {Promise<() => void>}
 */
export async function listen(heard) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
  const letGo = () => {
    for (const track of stream.getTracks()) track.stop();
  };
  try {
    const own = await context();
    await worklet(own);
    const source = own.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(own, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => heard(data);
    source.connect(node);
    return () => {
      source.disconnect();
      node.port.onmessage = null;
      letGo();
    };
  } catch (error) {
    letGo();
    throw error;
  }
}

/** @type {Promise<void> | null} */
let added = null;

/** @param {AudioContext} own */
function worklet(own) {
  added ??= own.audioWorklet.addModule("/capture.js").catch((error) => {
    added = null;
    throw error;
  });
  return added;
}

const FORMATS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

/** Whether long notes can be packed while they are spoken. */
export function canRecord() {
  return window.isSecureContext && "MediaRecorder" in window && FORMATS.some((format) => MediaRecorder.isTypeSupported(format));
}

/**
 * Records packed sound, for notes; `level` hears how loud it is. `stop` gives the file.
 * @param {(rms: number) => void} level
 */
export async function record(level) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
  const format = FORMATS.find((known) => MediaRecorder.isTypeSupported(known));
  const recorder = new MediaRecorder(stream, { mimeType: format, audioBitsPerSecond: 32000 });
  /** @type {Blob[]} */
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const own = await context();
  const analyser = own.createAnalyser();
  const source = own.createMediaStreamSource(stream);
  source.connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(wave);
    level(Math.sqrt(wave.reduce((sum, value) => sum + value * value, 0) / wave.length));
  }, 50);
  recorder.start(1000);
  return {
    /** @returns {Promise<Blob>} */
    stop: () =>
      new Promise((resolve) => {
        recorder.onstop = () => {
          clearInterval(timer);
          source.disconnect();
          for (const track of stream.getTracks()) track.stop();
          // The browser's own word, not what was asked for.
          resolve(new Blob(parts, { type: recorder.mimeType || format }));
        };
        recorder.stop();
      }),
  };
}

/**
 * @param {Int16Array} samples
 * @returns {number} 0 to 1
 */
export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length) / 32768;
}

/**
 * A WAV file of s16 mono.
 * @param {Int16Array[]} frames
 * @param {number} rate
 */
export function wav(frames, rate = 16000) {
  const size = frames.reduce((sum, frame) => sum + frame.length * 2, 0);
  const file = new DataView(new ArrayBuffer(44 + size));
  const write = (/** @type {number} */ at, /** @type {string} */ text) => [...text].forEach((letter, index) => file.setUint8(at + index, letter.charCodeAt(0)));
  write(0, "RIFF");
  file.setUint32(4, 36 + size, true);
  write(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true);
  file.setUint16(22, 1, true);
  file.setUint32(24, rate, true);
  file.setUint32(28, rate * 2, true);
  file.setUint16(32, 2, true);
  file.setUint16(34, 16, true);
  write(36, "data");
  file.setUint32(40, size, true);
  let at = 44;
  for (const frame of frames) for (const sample of frame) file.setInt16((at += 2) - 2, sample, true);
  return new Blob([file.buffer], { type: "audio/wav" });
}

/**
 * Any sound that this browser can play, as a WAV file that every box understands.
 * @param {Blob} blob
 */
export async function asWav(blob) {
  const decoder = new OfflineAudioContext(1, 1, 48000);
  const sound = await decoder.decodeAudioData(await blob.arrayBuffer());
  const mixer = new OfflineAudioContext(1, Math.ceil(sound.duration * 16000), 16000);
  const source = mixer.createBufferSource();
  source.buffer = sound;
  source.connect(mixer.destination);
  source.start();
  const mixed = (await mixer.startRendering()).getChannelData(0);
  return wav([Int16Array.from(mixed, (value) => Math.max(-1, Math.min(1, value)) * 32767)]);
}
