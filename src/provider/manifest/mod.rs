//! Providers described as data.
