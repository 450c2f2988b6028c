//! Tests of the layers.
