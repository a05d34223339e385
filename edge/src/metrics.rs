//! Every metric of the edge.
