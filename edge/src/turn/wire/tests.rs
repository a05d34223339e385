//! The codec against the RFCs' own vectors, against another one, and against
//! what broke others.

mod foreign;
mod holes;
mod protection;
mod round_trip;
mod stream;
mod vectors;
