//! Which build this is.

/// The release and the commit that it is built from, as `steadfast --version` says it behind the
/// name: `0.1.0 (9d16f7a2b3c4)`. A debug build, and one from an archive, say that they do not
/// know the commit.
pub const VERSION: &str = env!("STEADFAST_VERSION");

/// The commit alone; empty where it is not known.
pub const COMMIT: &str = env!("STEADFAST_COMMIT");
