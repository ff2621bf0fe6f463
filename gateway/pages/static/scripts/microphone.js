// The microphone, and how loud a stream is.

const WISHES = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

let context;

/** Open the microphone; null when there is none or the person says no. */
export async function openMicrophone(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  try {
    const audio = deviceId ? { ...WISHES, deviceId: { exact: deviceId } } : WISHES;
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch {
    return null;
  }
}

/** Return the microphones that may be chosen. */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/** Measures a stream; `level()` is 0 for silence to 1 for loud. */
export class Meter {
  constructor(stream) {
    context ??= new AudioContext();
    this.source = context.createMediaStreamSource(stream);
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 512;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.source.connect(this.analyser);
    this.smooth = 0;
  }

  level() {
    this.analyser.getFloatTimeDomainData(this.samples);
    let sum = 0;
    for (const sample of this.samples) sum += sample * sample;
    const decibels = 10 * Math.log10(sum / this.samples.length + 1e-10);
    const now = Math.min(1, Math.max(0, (decibels + 55) / 45)); // speech lies between -45 and -15 dBFS
    this.smooth = Math.max(now, this.smooth * 0.85);
    return this.smooth;
  }

  close() {
    this.source.disconnect();
  }
}

/** Browsers start sound only after a gesture. */
export const wakeSound = () => context?.resume();
