//! Whether a node could run.

use super::{Fault, admin_fault, check_room, flows_fault, listen_fault, listening, name_server};
use crate::config::{Config, Role, StoreAt};
use crate::{control, io};

/// Finds out whether a node could run by its files, and changes nothing: whatever else may run
/// here, and wherever its addresses are.
///
/// # Errors
/// Why it could not.
pub fn check(config: &Config) -> Result<(), Fault> {
    check_files(config)?;
    check_admin_sockets(config, false)
}

/// Finds out whether a node could run on this machine and now, and leaves everything as it was.
///
/// # Errors
/// Why it could not.
pub fn check_machine(config: &Config) -> Result<(), Fault> {
    check_room(config)?;
    check_files(config)?;
    check_shared_store(config)?;
    io::check(&listening(config), config.shards).map_err(|fault| listen_fault(config, fault))?;
    name_server(config)?;
    check_admin_sockets(config, true)
}

fn check_files(config: &Config) -> Result<(), Fault> {
    if let Role::Home(home) = &config.role {
        control::read_subscribers(&home.subscribers, &home.settings.algorithms)?;
        home.store
            .as_ref()
            .and_then(StoreAt::file)
            .map(control::check_store)
            .transpose()?;
    }
    if let Some(flows) = &config.flows {
        control::check_flows(&flows.path).map_err(flows_fault(flows))?;
    }
    Ok(())
}

/// Finds out whether the store that several homes share answers.
fn check_shared_store(config: &Config) -> Result<(), Fault> {
    let Role::Home(home) = &config.role else {
        return Ok(());
    };
    match &home.store {
        Some(StoreAt::Shared(at)) => control::reach_store(at).map_err(Fault::SharedStore),
        Some(StoreAt::File(_)) | None => Ok(()),
    }
}

fn check_admin_sockets(config: &Config, binds: bool) -> Result<(), Fault> {
    let checked = control::check_admin(config.control.as_deref(), config.metrics, binds);
    checked.map_err(|fault| admin_fault(config, fault))
}

/// What an operator is to know of the certificates, a sentence for each.
///
/// # Errors
/// When one cannot be used.
pub fn certificate_warnings(config: &Config) -> Result<Vec<String>, Fault> {
    let Some(settings) = &config.tls else {
        return Ok(Vec::new());
    };
    let mut certificates = control::Certificates::new(settings.clone());
    certificates.load()?;
    Ok(certificates.warnings())
}
