//! A node ends in good order, comes back with what it knew, or says why not.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::agent::Agent;
use crate::lab::{EDGES, HOME, Lab, PHONES, port, steadfast};
use crate::process::{Process, poll};
use crate::register::register;
use crate::sipp::Sipp;

/// How long an answer or a start may take.
const STEP_MAX: Duration = Duration::from_secs(5);
