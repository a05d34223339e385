//! The messages on the socket pair between main process and worker.
