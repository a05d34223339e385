//! The origin's delivery under load: a server of a stream that is made up, and
//! viewers that read nothing of what they get but its length.

pub mod load;
pub mod peer;
pub mod served;
