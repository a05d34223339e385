#!/usr/bin/python3
"""Publishes a test picture and a tone by WHIP with GStreamer's webrtcbin.

    gstreamer_whip.py URL [--seconds N] [--codec h264|vp8] [--address IP]

H.264 (or VP8) and Opus, GStreamer's own certificate (RSA 2048), all candidates in
the offer. Prints one line of JSON per event: the answer's status, and each state of
the connection. Ends with 0 when the connection came up and lasted, with 1 when not. The packages are named in
CONTRIBUTING.md.
"""

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("Nice", "0.1")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC, Nice  # noqa: E402

CODECS = {
    "h264": (
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=1000 key-int-max=60 "
        "! video/x-h264,profile=constrained-baseline ! h264parse "
        "! rtph264pay config-interval=-1 aggregate-mode=zero-latency "
        "! application/x-rtp,media=video,encoding-name=H264,payload=96 "
    ),
    "vp8": (
        "vp8enc deadline=1 target-bitrate=1000000 keyframe-max-dist=60 ! rtpvp8pay "
        "! application/x-rtp,media=video,encoding-name=VP8,payload=96 "
    ),
}


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Publisher:
    """One WHIP session, driven by GLib's loop."""

    def __init__(self, url, codec, address):
        self.url = url
        self.location = None
        self.was_connected = False
        self.failure = None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(
            "webrtcbin name=rtc bundle-policy=max-bundle "
            "videotestsrc is-live=true pattern=smpte horizontal-speed=8 "
            "! video/x-raw,width=854,height=480,framerate=30/1 ! videoconvert ! queue "
            f"! {CODECS[codec]} ! rtc. "
            "audiotestsrc is-live=true wave=sine ! audioconvert ! audioresample "
            "! audio/x-raw,rate=48000,channels=2 ! queue ! opusenc ! rtpopuspay "
            "! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc."
        )
        self.rtc = self.pipeline.get_by_name("rtc")
        if address:
            # By itself libnice leaves loopback out. The agent is kept, since Python
            # takes it for its own and would free it.
            self.ice = self.rtc.get_property("ice-agent")
            local = Nice.Address.new()
            local.init()
            local.set_from_string(address)
            self.ice.get_property("agent").add_local_address(local)
        for index in range(2):
            transceiver = self.rtc.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
            transceiver.set_property("do-nack", True)
        self.rtc.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.rtc.connect("notify::ice-gathering-state", self.on_gathering)
        self.rtc.connect("notify::connection-state", self.on_state)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def run(self, seconds):
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add_seconds(seconds, self.loop.quit)
        self.loop.run()
        self.close()
        self.pipeline.set_state(Gst.State.NULL)
        tell("end", failure=self.failure, connected=self.was_connected)
        return 0 if self.was_connected and self.failure is None else 1

    def fail(self, why):
        self.failure = self.failure or why
        self.loop.quit()

    def on_error(self, _bus, message):
        self.fail(str(message.parse_error()))

    def on_negotiation_needed(self, _rtc):
        self.rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer, None))

    def on_offer(self, promise, _):
        # The description belongs to the reply, and the reply to the promise.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.rtc.emit("set-local-description", offer, None)

    def on_gathering(self, _rtc, _spec):
        if self.rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def on_state(self, _rtc, _spec):
        state = self.rtc.get_property("connection-state")
        tell("state", state=state.value_nick)
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            self.was_connected = True
        elif state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            GLib.idle_add(self.fail, "connection failed")

    def post(self):
        offer = self.rtc.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(
            self.url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                answer = response.read()
                self.location = urllib.parse.urljoin(self.url, response.headers["Location"])
                tell("answer", status=response.status)
        except urllib.error.HTTPError as error:
            self.fail(f"{error.code}: {error.read().decode(errors='replace')}")
            return False
        _, sdp = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, sdp)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.rtc.emit("set-remote-description", description, None)
        return False

    def close(self):
        if self.location is None:
            return
        request = urllib.request.Request(self.location, method="DELETE")
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                tell("deleted", status=response.status)
        except urllib.error.URLError as error:
            # webrtcbin takes ICE alone for a connection; the edge knows better.
            tell("deleted", error=str(error))
            self.failure = self.failure or "the session was over already"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--codec", choices=sorted(CODECS), default="h264")
    parser.add_argument("--address", help="the only local address, such as 127.0.0.1")
    arguments = parser.parse_args()
    Gst.init(None)
    return Publisher(arguments.url, arguments.codec, arguments.address).run(arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
