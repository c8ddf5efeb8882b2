//! Via parameters of this project, by which elements of a cluster tell one another
//! what a phone need not know. Each is for the next hop, which takes it off.

/// Via parameter of an element that follows a loose redirect itself (S-26): a 3xx whose
/// Contact has `lr`, which replaces the topmost Route.
pub(super) const LOOSE: &str = "loose";

/// Via parameter of an edge that lets strangers call the subscribers: the sender
/// is one, and the home need not ask him who he is.
pub(super) const GUEST: &str = "guest";

/// Parameter that an element of the cluster adds to the Via of another one in an
/// answer which lets stand-bys try: whoever the request was for gave it, and the
/// way to him works.
pub(super) const FROM_TARGET: &str = "said";
