//! The tables, a row for each principal and destination.

/// At the edge of joe, who is in calls with ann of another edge. The home's value
/// stays whole in the route set of his dialogs, whatever he shows to his edge.
pub(super) const EDGE: &str = "
home edge
                        none     tag      mark     other    side     bare
    phone             : bob      bob      joe      joe      joe      joe
    *                 : 404      404      joe      joe      joe      joe
subscriber
    served            : ann~-    ann~-    ann~-    ann~-    ann~-    ann~-
    dialog            : 403      ann      ann      ann      ann      ann
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    foreign maddr     : victim~- victim~- victim~- victim~- victim~- victim~-
    *                 : 403      403      403      403      403      403
subscriber-as-ann
    served            : 407      407      407      407      407      407
    dialog            : 407      ann      ann      ann      ann      ann
    route             : 403      403      403      403      403      403
    phone cluster     : 403      403      407      407      407      407
    *                 : 407      407      407      407      407      407
caller-away called-away
    served            : 407      403      403      403      403      403
    dialog            : 403      403      ann      403      403      403
    domain            : 407      403      403      403      403      403
    *                 : 403      403      403      403      403      403
stranger foreigner
    served            : 407      403      403      403      403      403
    domain            : 407      403      403      403      403      403
    *                 : 403      403      403      403      403      403
";

/// Those whom nobody knows, at an edge with `strangers = \"answer\"`.
pub(super) const HOSPITABLE: &str = "
caller-away called-away
                        none     tag      mark     other    side     bare
    served            : 407      403      403      403      403      403
    dialog            : 403      403      ann      403      403      403
    domain            : 407      403      403      403      403      403
    *                 : 403      403      403      403      403      403
stranger
    served            : 407      403      403      403      403      403
    domain            : 407      403      403      403      403      403
    *                 : 403      403      403      403      403      403
foreigner
    served            : ann~-    403      403      403      403      403
    domain            : 404|200  403      403      403      403      403
    *                 : 403      403      403      403      403      403
";

/// The table with `strangers = \"refuse\"`.
pub(super) const SHUT: &str = "
caller-away called-away
                        none     tag      mark     other    side     bare
    dialog            : 403      403      ann      403      403      403
    *                 : 403      403      403      403      403      403
stranger foreigner
    *                 : 403      403      403      403      403      403
";

/// At the home: for whom an edge vouches, for whom it does not, and who comes
/// past the edges.
pub(super) const AT_HOME: &str = "
subscriber
                        none     tag      mark     other    side     bare
    served            : ann      ann      ann      ann      ann      ann
    dialog            : 403      403      ann      403      403      403
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    foreign route     : victim   victim   victim   victim   victim   victim
    maddr             : victim   victim   victim   victim   victim   victim
    *                 : 403      403      403      403      403      403
subscriber-as-ann
    served            : 407      407      407      407      407      407
    dialog            : 407      407      ann      407      407      407
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    *                 : 407      407      407      407      407      407
unvouched unvouched-foreigner guest stranger
    served            : 407      407      407      407      407      407
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    *                 : 407      407      407      407      407      407
guest-foreigner foreigner
    served            : ann~-    ann~-    ann~-    ann~-    ann~-    ann~-
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    *                 : 403      403      403      403      403      403
caller called
    served            : ann~-    ann~-    ann~-    ann~-    ann~-    ann~-
    dialog            : 403      403      joe      403      403      403
    domain            : 404|200  404|200  404|200  404|200  404|200  404|200
    *                 : 403      403      403      403      403      403
";
