//! What Inlet's system tests, benchmarks and demonstration share.
//!
//! | module | holds |
//! |---|---|
//! | [`strip`] | the frame strip: a counter and a capture time drawn into each frame |
//! | [`publisher`] | a WHIP client on an independent WebRTC stack, with picture and sound |
//! | [`brake`] | a process that is too slow |
//! | [`boxes`] | a reader of CMAF's boxes |
//! | [`by_tcp`] | a presenter's way by TCP |
//! | [`crowd`] | thousands of viewers who ask at once |
//! | [`impairment`] | a bad network between a presenter and an edge |
//! | [`rig`] | the real binaries on loopback, and the stream API |
//! | [`mmdb`] | a writer of databases of networks |
//! | [`moment`] | moments of UTC, as manifests write them |
//! | [`playlist`] | an HLS reader that tests compare with |
//! | [`resolver`] | a resolver's questions to a name server |
//! | [`sdp`] | an SDP reader that tests compare answers with offers by |
//! | [`stage`] | a stream on air, as most system tests begin |
//! | [`turn`] | TURN clients on a codec of their own, and a load of them |
//! | [`viewer`] | a viewer without a screen: FFmpeg, reading each frame's strip |
//! | [`walk`] | a viewer that looks at every tag, byte and moment of it |
//!
//! The publisher and the TURN clients share no code with `inlet-edge`: what both got wrong in the
//! same way, no test would see.

pub mod boxes;
pub mod brake;
pub mod by_tcp;
pub mod crowd;
pub mod impairment;
pub mod mmdb;
pub mod moment;
pub mod playlist;
pub mod publisher;
pub mod resolver;
pub mod rig;
pub mod sdp;
pub mod stage;
pub mod strip;
pub mod turn;
pub mod viewer;
pub mod walk;
