#!/usr/bin/env python3
"""Publishes a test picture and a tone by WHIP with aiortc.

    aiortc_whip.py URL [--seconds N] [--codec H264|VP8] [--address IP]

Prints one line of JSON per event. Ends with 0 when the connection came up and
lasted, with 1 when not. Needs the packages of requirements.txt.
"""

import argparse
import asyncio
import fractions
import json
import math
import struct
import sys
import urllib.parse
import urllib.request

import aioice.ice
import av
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import AudioStreamTrack

WIDTH, HEIGHT = 640, 360
RATE = 48_000
SAMPLES = RATE // 50


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Picture(VideoStreamTrack):
    """A grey that becomes brighter and darker, once a second."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        level = 128 + int(100 * math.sin(2 * math.pi * pts * time_base))
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, value in zip(frame.planes, (level, 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """440 Hz."""

    def __init__(self):
        super().__init__()
        self.begun = None
        self.at = 0

    async def recv(self):
        now = asyncio.get_running_loop().time()
        self.begun = self.begun or now
        await asyncio.sleep(max(0, self.begun + self.at / RATE - now))
        values = (
            int(8_000 * math.sin(2 * math.pi * 440 * (self.at + index) / RATE))
            for index in range(SAMPLES)
        )
        frame = av.AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update(struct.pack(f"<{SAMPLES}h", *values))
        frame.pts, frame.sample_rate = self.at, RATE
        frame.time_base = fractions.Fraction(1, RATE)
        self.at += SAMPLES
        return frame


def request(url, method, body=None):
    headers = {"Content-Type": "application/sdp"} if body else {}
    made = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(made, timeout=20) as response:
        location = response.headers["Location"]
        return response.status, response.read().decode(), location


async def publish(arguments):
    if arguments.address:
        # By itself aioice leaves loopback out.
        aioice.ice.get_host_addresses = lambda *_args, **_more: [arguments.address]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    over = asyncio.get_running_loop().create_future()
    states = []

    @connection.on("connectionstatechange")
    def on_state():
        states.append(connection.connectionState)
        tell("state", state=connection.connectionState)
        if connection.connectionState in ("failed", "closed") and not over.done():
            over.set_result(None)

    connection.addTransceiver(Tone(), direction="sendonly")
    video = connection.addTransceiver(Picture(), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    wanted = f"video/{arguments.codec}".lower()
    video.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == wanted])
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.encode()
    status, answer, location = await asyncio.to_thread(request, arguments.url, "POST", offer)
    tell("answer", status=status)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.wait([over], timeout=arguments.seconds)
    lasted = not over.done() and "connected" in states
    # First, since a closed connection is a session less.
    status, _, _ = await asyncio.to_thread(
        request, urllib.parse.urljoin(arguments.url, location), "DELETE"
    )
    tell("deleted", status=status)
    await connection.close()
    return 0 if lasted else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--codec", choices=["H264", "VP8"], default="H264")
    parser.add_argument("--address", help="the only local address, such as 127.0.0.1")
    return asyncio.run(publish(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
