//! Every metric of the origin.
