import { describe, expect, it } from "vitest";
import { parseIceServers, preferredAudioCodecs, preferredVideoCodecs, withStartBitrate } from "../src/sdp";

const h264 = (profile: string, mode: number) => ({
  mimeType: "video/H264",
  sdpFmtpLine: `level-asymmetry-allowed=1;packetization-mode=${mode};profile-level-id=${profile}`,
});

describe("codec preferences", () => {
  it("put H.264 baseline in mode 1 first, then VP8 and VP9, and leave out the rest", () => {
    const vp8 = { mimeType: "video/VP8" };
    const vp9 = { mimeType: "video/VP9", sdpFmtpLine: "profile-id=0" };
    const rtx = { mimeType: "video/rtx" };
    const baseline = h264("42e01f", 1);
    const main = h264("4d001f", 1);
    const mode0 = h264("42e01f", 0);
    const chromium = [
      vp8,
      rtx,
      vp9,
      { mimeType: "video/VP9", sdpFmtpLine: "profile-id=2" },
      mode0,
      main,
      baseline,
      h264("f4001f", 1),
      { mimeType: "video/AV1" },
      { mimeType: "video/H265" },
      { mimeType: "video/red" },
      { mimeType: "video/ulpfec" },
    ];
    expect(preferredVideoCodecs(chromium)).toEqual([baseline, main, mode0, vp8, vp9, rtx]);
  });

  it("keep Opus alone", () => {
    const opus = { mimeType: "audio/opus" };
    expect(preferredAudioCodecs([{ mimeType: "audio/red" }, opus, { mimeType: "audio/G722" }])).toEqual([opus]);
  });
});

describe("start bitrate", () => {
  const answer = [
    "v=0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10",
    "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96",
    "a=rtpmap:102 H264/90000",
    "a=fmtp:102 packetization-mode=1",
    "a=rtpmap:103 rtx/90000",
    "a=fmtp:103 apt=102",
    "a=rtpmap:96 VP8/90000",
    "",
  ].join("\r\n");

  it("goes to the video formats only", () => {
    expect(withStartBitrate(answer, 1499.6).split("\r\n")).toEqual([
      "v=0",
      "m=audio 9 UDP/TLS/RTP/SAVPF 111",
      "a=rtpmap:111 opus/48000/2",
      "a=fmtp:111 minptime=10",
      "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96",
      "a=rtpmap:102 H264/90000",
      "a=fmtp:102 packetization-mode=1;x-google-start-bitrate=1500",
      "a=rtpmap:103 rtx/90000",
      "a=fmtp:103 apt=102",
      "a=rtpmap:96 VP8/90000",
      "a=fmtp:96 x-google-start-bitrate=1500",
      "",
    ]);
  });

  it("leaves the server's own alone, and an answer without video", () => {
    const own = answer.replace("mode=1", "mode=1;x-google-start-bitrate=800");
    expect(withStartBitrate(own, 1500)).toBe(own);
    const audio = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
    expect(withStartBitrate(audio, 1500)).toBe(audio);
  });
});

describe("Link header", () => {
  it("gives the ICE servers", () => {
    const turn = (url: string): string =>
      `<${url}>; rel="ice-server"; username="1767225600:7"; credential="a+b/c="; credential-type="password"`;
    const link = [`<stun:pop.example:3478>; rel="ice-server"`, turn("turn:pop.example:443?transport=udp"), turn("turns:pop.example:443?transport=tcp")].join(", ");
    expect(parseIceServers(link)).toEqual([
      { urls: "stun:pop.example:3478" },
      { urls: "turn:pop.example:443?transport=udp", username: "1767225600:7", credential: "a+b/c=" },
      { urls: "turns:pop.example:443?transport=tcp", username: "1767225600:7", credential: "a+b/c=" },
    ]);
  });

  it("never gives the browser what it would throw at", () => {
    expect(parseIceServers(null)).toEqual([]);
    expect(parseIceServers('<https://h/x>; rel="next", <turn:h:1>; rel="ice-server"')).toEqual([]);
    const many = Array.from({ length: 9 }, (_, i) => `<stun:h${i}:1>; rel="ice-server"`).join(", ");
    expect(parseIceServers(many)).toHaveLength(4);
  });
});
