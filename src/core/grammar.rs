//! The words that messages and URIs are made of (RFC 3261 §25.1): classes of
//! bytes, a cursor that reads forward through a value, and `;name=value` lists.
//!
//! What it is *not*: it knows no header and no URI. [`uri`](crate::uri) and [`scan`](crate::scan) are written
//! with it, and their bytes are looked at here, sixteen and sixty-four at a time.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

pub(crate) mod block;
pub(crate) mod class;
pub(crate) mod cursor;
pub(crate) mod find;
pub(crate) mod lanes;
pub mod params;
