//! The stream API: JSON under `/streaming/streams`.
