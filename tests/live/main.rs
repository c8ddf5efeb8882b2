//! Real phones against a real lab: SIPp and baresip, processes and sockets.
//!
//! Every test starts `steadfast lab` (a home and three edges on 127.0.0.10 to
//! .13, port 5060), drives it with phones on 127.0.0.1 and ends everything it
//! started, by id. The addresses are fixed, so one lab lives at a time: tests
//! take turns inside this binary, and `tests/run` runs it on one thread.
//!
//! - Nothing here waits for a fixed time: whatever must happen is polled for
//!   until a deadline, and what did not happen is named.
//! - A SIPp run counts only if every call succeeded and nothing was sent twice.
//! - `STEADFAST_BIN` names another program to start in place of ours.
//! - After a failure the folder with all logs stays; its path is printed.

mod abuse;
mod adding_edge;
mod agent;
mod baresip;
mod browser;
mod call;
mod capture;
mod certificates;
mod covers;
mod crowd;
mod demo;
mod descriptors;
mod dns;
mod failover;
mod fork;
mod generator;
mod init;
mod kept_flows;
mod lab;
mod lifecycle;
mod little_memory;
mod load;
mod metrics;
mod metrics_port;
mod mistakes;
mod node;
mod open_metrics;
mod page;
mod peers;
mod process;
mod readme;
mod records;
mod register;
mod relearning;
mod reload;
mod ring;
mod service;
mod shards;
mod shared_store;
mod sides;
mod sipp;
mod store;
mod stream;
mod survival;
mod tls;
#[path = "../records/tool.rs"]
mod tool;
mod top;
mod trace;
mod ua;
mod upgrade;
mod why;
mod worked_flow;
mod zone;
