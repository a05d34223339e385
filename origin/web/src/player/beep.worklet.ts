// Hears the beep of the test picture, to 3 ms. Runs in the audio thread.
//
// Goertzel's filter at the beep's pitch over each block of 128 samples: the beep begins
// where most of the power lies at that pitch after a silence.

declare const sampleRate: number;
declare const currentTime: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, type: unknown): void;

const BEEP_HZ = 1000;
/** Mean power under which a block is silence; the beep's is 0.125. */
const MIN_POWER = 0.002;
/** Part of the power that lies at the pitch. */
const MIN_PURITY = 0.4;
/** A new beep needs this much quiet before it. */
const QUIET_SECONDS = 0.2;

class BeepDetector extends AudioWorkletProcessor {
  #lastHeard = -Infinity;

  process(inputs: Float32Array[][]): boolean {
    const samples = inputs[0]?.[0];
    if (samples !== undefined && isBeep(samples)) {
      if (currentTime - this.#lastHeard > QUIET_SECONDS) this.port.postMessage(currentTime);
      this.#lastHeard = currentTime;
    }
    return true;
  }
}

function isBeep(samples: Float32Array): boolean {
  const coefficient = 2 * Math.cos((2 * Math.PI * BEEP_HZ) / sampleRate);
  let power = 0;
  let one = 0;
  let two = 0;
  for (const sample of samples) {
    power += sample * sample;
    const next = sample + coefficient * one - two;
    two = one;
    one = next;
  }
  power /= samples.length;
  const atPitch = one * one + two * two - coefficient * one * two;
  // A pure tone of amplitude a gives (a·n/2)² here and a²/2 as power.
  return power > MIN_POWER && (2 * atPitch) / samples.length ** 2 > MIN_PURITY * power;
}

registerProcessor("beep-detector", BeepDetector);
