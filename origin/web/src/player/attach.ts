// Chooses the engine for a protocol and attaches it.

import { isOpen, manifestPath, type Protocol, type Tokens } from "../urls";
import type { Engine, EngineEvents } from "./engine";
import { HlsEngine, isHlsSupported } from "./hls_engine";
import { isNativeSupported, NativeEngine } from "./native_engine";
import type { ClockSkew } from "./skew";

/** What this browser can play and the tokens open, best first. */
export function availableProtocols(video: HTMLVideoElement, tokens: Tokens): Protocol[] {
  const protocols: Protocol[] = isHlsSupported() ? ["hls", "dash", "ts"] : [];
  if (isNativeSupported(video)) protocols.push("native");
  return protocols.filter((protocol) => isOpen(protocol, tokens));
}

/** The wanted protocol, or the best one that this browser has. `null`: none at all. */
export function usableProtocol(wanted: Protocol, available: readonly Protocol[]): Protocol | null {
  return available.includes(wanted) ? wanted : (available[0] ?? null);
}

/** Attaches a fresh engine. */
export async function attach(
  protocol: Protocol,
  stream: string,
  tokens: Tokens,
  video: HTMLVideoElement,
  skew: ClockSkew,
  events: EngineEvents,
): Promise<Engine> {
  const manifest = new URL(manifestPath(stream, protocol, tokens), location.href).href;
  switch (protocol) {
    case "hls":
    case "ts":
      return new HlsEngine(protocol, video, manifest, skew, events);
    case "native":
      return new NativeEngine(video, manifest, skew, events);
    case "dash": {
      const { DashEngine } = await import("./dash_engine");
      return new DashEngine(video, manifest, events);
    }
  }
}
