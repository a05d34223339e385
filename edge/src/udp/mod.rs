//! Receives and sends datagrams in batches.
