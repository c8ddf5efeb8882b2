//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use steadfast::config::reference;
use steadfast::control::LogFilter;
use steadfast::memory::Counted;
use steadfast::version::VERSION;
use steadfast::zone::{self, Difference, Weight, Zone};
use steadfast::{
    bindings, config, control, init, lab, manual, node, rejected, reload, top, trace, ua, upgrade,
    why,
};
use tracing_subscriber::EnvFilter;

/// Per-thread heaps suit a shard per core.
#[global_allocator]
static ALLOCATOR: Counted<mimalloc::MiMalloc> = Counted(mimalloc::MiMalloc);

/// A SIP edge proxy whose calls survive the death of the edge that carries
/// them.
#[derive(Parser)]
#[command(version = VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node
    Run {
        /// Its configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say what is wrong with a configuration, without starting
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Ask the DNS instead whether it has what phones and members need, with status 2 if not
        #[arg(long)]
        dns: bool,
        /// Find out too whether this machine can run it now: its kernel, its cores, each address
        #[arg(long, conflicts_with = "dns")]
        bind: bool,
    },
    /// Write a first configuration for a domain: a home, its edges, keys and certificates
    Init(init::Options),
    /// Print what a configuration may say
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the records that the DNS needs for an edge's cluster, as a master file to include
    Zone {
        /// The configuration file of an edge
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run a home and three edges on this machine, to try things out (also without any command)
    Lab(lab::Options),
    /// Play the survival of a call against a fresh lab: an edge is killed, nothing is lost
    Demo(lab::DemoOptions),
    /// Ask a running node why a request for a URI goes where it goes
    Why(why::Options),
    /// Have a running node take its configuration file over
    Reload(reload::Options),
    /// Have a running node go on in a new process, with a new program: nobody notices
    Upgrade(upgrade::Options),
    /// Go on in the place of the process that has started this one
    #[command(hide = true)]
    TakeOver {
        /// Its configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Ask a running node which configuration it goes by, and what waits for a restart
    Status(reload::StatusOptions),
    /// Look at running nodes side by side in this terminal, until q
    Top(top::Options),
    /// Ask a running node what it refused of late, and why
    Rejected(rejected::Options),
    /// Tell the story of a call or a registration, out of what one or several nodes have recorded
    Trace(trace::Options),
    /// Ask a home for the bindings of an address of record, or take them away
    #[command(subcommand)]
    Bindings(bindings::Command),
    /// Be a phone without media: register, call, answer
    #[command(subcommand)]
    Ua(ua::Command),
    /// Print a page of the manual, for `man -l -`
    Man(manual::Options),
    /// Print the completions of a shell
    Completions(manual::CompletionOptions),
    /// What to write instead
    #[command(hide = true, disable_help_flag = true)]
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Every key, what it holds, its default and its meaning, in Markdown
    Reference,
    /// The JSON schema of the file, for editors and programs
    Schema,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let lab = || Command::Lab(lab::Options::default());
    match arguments.command.unwrap_or_else(lab) {
        Command::Run { config } => end(run(&config), WRONG_CONFIGURATION),
        Command::Check {
            config, dns: true, ..
        } => end(check_dns(&config), WRONG_CONFIGURATION),
        Command::Check { config, bind, .. } => end(check(&config, bind), WRONG_CONFIGURATION),
        Command::Zone { config } => end(zone_of(&config).map(say), WRONG_CONFIGURATION),
        Command::Init(options) => end(init::run(&options).map(say), FAILED),
        Command::Config(ConfigCommand::Reference) => end(print_out(&reference::markdown()), FAILED),
        Command::Config(ConfigCommand::Schema) => end(print_out(&reference::json_schema()), FAILED),
        Command::Man(options) => end(manual::print(Arguments::command(), &options), FAILED),
        Command::Completions(options) => {
            end(manual::completions(Arguments::command(), &options), FAILED)
        }
        Command::Lab(options) => end(lab::run(&options), WRONG_CONFIGURATION),
        Command::Demo(options) => end(lab::demo(&options), FAILED),
        Command::Why(options) => end(why::ask(&options).map(say), FAILED),
        Command::Upgrade(options) => end(upgrade::ask(&options).map(say), FAILED),
        Command::TakeOver { config } => end(take_over(&config), WRONG_CONFIGURATION),
        Command::Reload(options) => end(reload::ask(&options).map(say), FAILED),
        Command::Status(options) => end(reload::status(&options).map(say), FAILED),
        Command::Top(options) => end(top::run(&options), FAILED),
        Command::Rejected(options) => end(rejected::ask(&options).map(say), FAILED),
        Command::Trace(options) => end(trace::ask(&options).map(say), FAILED),
        Command::Bindings(command) => end(bindings::run(&command).map(say), FAILED),
        Command::Ua(command) => end(ua::run(&command), FAILED),
        Command::Load { arguments } => end(Err(load_is_apart(&arguments)), WRONG_CONFIGURATION),
    }
}

/// What to write for a command that went with the load generator, which a node
/// has no use for.
fn load_is_apart(arguments: &[OsString]) -> String {
    let mut instead = "steadfast-load".to_owned();
    for argument in arguments {
        instead.push(' ');
        instead.push_str(&argument.to_string_lossy());
    }
    format!(
        "the load generator is a program of its own, which `cargo build --release -p \
         steadfast-load` makes: write `{instead}`"
    )
}

/// Prints the answer of a node, which ends its own lines.
fn say(answer: String) {
    print!("{answer}");
}

/// Prints what is long, and may go to a program that takes no more of it.
fn print_out(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}

/// How a command ends: with success, or with its sentence and this status.
fn end(result: Result<(), impl Display>, status: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("steadfast: {fault}");
            ExitCode::from(status)
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    start(path, node::run)
}

fn take_over(path: &Path) -> Result<(), String> {
    start(path, node::take_over)
}

fn start(
    path: &Path,
    run: fn(config::Config, config::Source, LogFilter) -> Result<(), node::Fault>,
) -> Result<(), String> {
    control::hold_hangups().map_err(|why| format!("cannot hold signals: {why}"))?;
    let log = log_to_stderr();
    let (config, source) = config::open(path).map_err(|mistake| mistake.to_string())?;
    if let Some(filter) = config.log.as_deref().filter(|_| !log.is_fixed) {
        (log.set)(filter);
    }
    run(config, source, log).map_err(|fault| fault.to_string())
}

fn check(path: &Path, binds: bool) -> Result<(), String> {
    let config = config::load(path).map_err(|mistake| mistake.to_string())?;
    let checked = if binds {
        node::check_machine(&config)
    } else {
        node::check(&config)
    };
    checked.map_err(|fault| fault.to_string())?;
    let certificates = node::certificate_warnings(&config).map_err(|fault| fault.to_string())?;
    let warnings = config.warnings().into_iter();
    for warning in warnings.chain(certificates.into_iter().map(Into::into)) {
        eprintln!("steadfast: {}: warning: {warning}", path.display());
    }
    println!(
        "{}: ok, node {} can be started",
        path.display(),
        config.name
    );
    Ok(())
}

fn zone_of(path: &Path) -> Result<String, String> {
    let config = config::load(path).map_err(|mistake| mistake.to_string())?;
    zone(path, &config).map(|zone| zone.to_string())
}

fn zone(path: &Path, config: &config::Config) -> Result<Zone, String> {
    Zone::of(config).map_err(|why| format!("{}: {why}", path.display()))
}

/// Says each difference between the live DNS and the zone; an error when phones
/// miss something.
fn check_dns(path: &Path) -> Result<(), String> {
    let config = config::load(path).map_err(|mistake| mistake.to_string())?;
    let zone = zone(path, &config)?;
    let found = control::look_up(&config.dns_servers, &zone::queries(&zone));
    let found = found.map_err(|why| format!("cannot ask the DNS: {why}"))?;
    let differences = zone::differences(&zone, &found);
    for Difference { weight, says } in &differences {
        let weight = match weight {
            Weight::Missing => "missing",
            Weight::Odd => "warning",
        };
        eprintln!("steadfast: {}: {weight}: {says}", path.display());
    }
    let missing = differences
        .iter()
        .filter(|one| one.weight == Weight::Missing);
    match missing.count() {
        0 => {
            let cluster = zone.cluster();
            println!("{}: ok, the DNS has what {cluster} needs", path.display());
            Ok(())
        }
        1 => Err("the DNS lacks a thing that phones need".to_owned()),
        many => Err(format!("the DNS lacks {many} things that phones need")),
    }
}

/// Structured lines; `RUST_LOG` chooses which, else `log` of the configuration, `info` and above
/// without both. A panic is one of them, and the end: half a node would keep its ports and
/// swallow what arrives there.
fn log_to_stderr() -> LogFilter {
    let by_environment = EnvFilter::try_from_default_env();
    let is_fixed = by_environment.is_ok();
    let filter = by_environment.unwrap_or_else(|_| EnvFilter::new(control::LOG));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .with_filter_reloading();
    let handle = log.reload_handle();
    log.init();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("panic, which ends the process: {panic}");
        print(panic);
        std::process::abort();
    }));
    let set = Box::new(move |filter: &str| {
        if let Err(error) = handle.reload(EnvFilter::new(filter)) {
            tracing::error!(%error, "the log stays as it was");
        }
    });
    LogFilter { set, is_fixed }
}

/// Exit status of what was asked for in vain.
const FAILED: u8 = 1;
/// Exit status for what the operator has to put right.
const WRONG_CONFIGURATION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// The options that a text names.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let words =
            text.split(|letter: char| letter.is_whitespace() || "`,;.:()[]<>=".contains(letter));
        words.filter(|word| word.starts_with("--") && word.len() > 2)
    }

    fn check_help(command: &mut clap::Command, path: &str) {
        let help = command.render_long_help().to_string();
        let known: Vec<_> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long().map(|name| format!("--{name}")))
            .collect();
        for option in named(&help) {
            let is_there =
                option == "--help" || option == "--version" || known.iter().any(|it| it == option);
            assert!(
                is_there,
                "the help of {path} names {option}, which it does not have"
            );
        }
        for sub in command.get_subcommands_mut() {
            let path = format!("{path} {}", sub.get_name());
            check_help(sub, &path);
        }
    }

    #[test]
    fn the_help_of_a_command_names_no_option_that_it_does_not_have() {
        let mut all = Arguments::command();
        all.build();
        check_help(&mut all, "steadfast");
    }
}
