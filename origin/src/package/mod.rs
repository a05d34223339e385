//! From encoded frames to CMAF, LL-HLS and LL-DASH; pure.
