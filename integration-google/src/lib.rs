//! Gmail for the integration crate family.
