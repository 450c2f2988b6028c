//! Replies of every kind, written by hand in the styles of the programs.
