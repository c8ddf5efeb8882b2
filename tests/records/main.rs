//! The record layer against those that nobody here wrote: openssl, and tlslite-ng, which can be
//! made to send what no decent peer would. Sockets on loopback, ports of the kernel's choice.
//!
//! Wants `openssl`, and tlslite-ng in `target/tlslite`; `tests/run` installs both.

#![cfg(test)]

mod openssl;
mod ours;
mod tlslite;
mod tool;
