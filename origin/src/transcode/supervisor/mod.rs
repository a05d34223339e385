//! Starts, seeds, watches and restarts the worker.
