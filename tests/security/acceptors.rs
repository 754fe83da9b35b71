//! acceptors
