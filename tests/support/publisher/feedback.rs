//! What the receiver says about our media: key frames it wants, packets it
//! lost, the rate it can take.
//!
//! Sits in the interceptor chain next to the application, where every RTCP
//! packet passes, and keeps counts that the media threads and tests read. Like
//! libwebrtc it answers a receiver that wants to know the round trip.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use inlet_common::clock;
use rtc::{
    interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        extended_report::{
            DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock,
        },
        payload_feedbacks::{
            full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
            receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
        },
        receiver_report::ReceiverReport,
        transport_feedbacks::{
            transport_layer_cc::TransportLayerCc, transport_layer_nack::TransportLayerNack,
        },
    },
    sansio::Protocol,
    shared::{TransportContext, error::Error},
};

/// Requests for key frames whose times are kept; later ones are counted only.
const MAX_REQUESTS: usize = 1_000;

/// Counts of the feedback that has arrived.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    /// Set by PLI and FIR, taken by the encoder.
    pub(super) key_wanted: AtomicBool,
    /// PLI and FIR.
    pub(super) key_requests: AtomicU64,
    /// When they came.
    key_requested_at: Mutex<Vec<Instant>>,
    /// Packets asked for again by NACK.
    pub(super) nacked: AtomicU64,
    /// Receiver report blocks.
    pub(super) reports: AtomicU64,
    /// Largest fraction lost that a report named, in 1/256.
    pub(super) worst_loss: AtomicU8,
    /// Transport-wide congestion control feedback packets.
    pub(super) transport_cc: AtomicU64,
    /// The newest REMB in bits per second; 0 before the first.
    pub(super) remb: AtomicU64,
}

impl Feedback {
    fn handle(&self, packet: &dyn rtc::rtcp::Packet) {
        let any = packet.as_any();
        if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
            self.key_requests.fetch_add(1, Relaxed);
            self.key_wanted.store(true, Relaxed);
            let mut times = self.times();
            if times.len() < MAX_REQUESTS {
                times.push(clock::now());
            }
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            let packets = nack
                .nacks
                .iter()
                .map(|pair| pair.packet_list().len() as u64);
            self.nacked.fetch_add(packets.sum(), Relaxed);
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            for block in &report.reports {
                self.reports.fetch_add(1, Relaxed);
                self.worst_loss.fetch_max(block.fraction_lost, Relaxed);
            }
        } else if any.is::<TransportLayerCc>() {
            self.transport_cc.fetch_add(1, Relaxed);
        } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.remb.store(remb.bitrate as u64, Relaxed);
        }
    }

    /// When key frames were asked for.
    pub(super) fn key_requested_at(&self) -> Vec<Instant> {
        self.times().clone()
    }

    fn times(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.key_requested_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the receiver measures the round trip by (RFC 3611 §4.5): its own clock, given
/// back at once.
fn echo(packet: &dyn rtc::rtcp::Packet) -> Option<ExtendedReport> {
    let report = packet.as_any().downcast_ref::<ExtendedReport>()?;
    let mut blocks = report.reports.iter();
    let time = blocks.find_map(|block| {
        let block = block.as_any();
        block.downcast_ref::<ReceiverReferenceTimeReportBlock>()
    })?;
    let middle = (time.ntp_timestamp >> 16) & u64::from(u32::MAX);
    let echoed = DLRRReport {
        ssrc: report.sender_ssrc,
        last_rr: u32::try_from(middle).ok()?,
        // The least of all delays, 15 µs: none would say that nothing has come yet.
        dlrr: 1,
    };
    Some(ExtendedReport {
        sender_ssrc: 0,
        reports: vec![Box::new(DLRRReportBlock {
            reports: vec![echoed],
        })],
    })
}

/// Reads RTCP on its way in; passes everything on untouched.
pub(super) struct Listener {
    feedback: Arc<Feedback>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Listener {
    /// Makes a listener that counts into `feedback`.
    pub(super) fn new(feedback: Arc<Feedback>) -> Self {
        Self {
            feedback,
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            for packet in packets {
                self.feedback.handle(packet.as_ref());
                self.write
                    .extend(echo(packet.as_ref()).map(|echo| TaggedPacket {
                        now: message.now,
                        transport: TransportContext::default(),
                        message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(echo)])),
                    }));
            }
        }
        self.read.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
