//! Domain validation for certificate orders, from `checking` to a certificate on disk.

pub mod cli;
pub mod config;
mod credential_program;
pub mod delivery;
pub mod environment;
pub mod error;
pub mod failpoint;
pub mod hook;
pub mod http;
mod ini;
pub mod journey;
pub mod language;
mod lifetime;
mod mutex;
pub mod name;
mod nearest;
mod open_files;
pub mod order;
mod process;
pub mod propagation;
pub mod provider;
pub mod record;
pub mod sandbox;
pub mod secret;
mod secret_command;
pub mod status;
pub mod store;
#[cfg(test)]
mod test_disk;
#[cfg(test)]
mod test_official;
#[cfg(test)]
mod test_postgres;
mod text_file;
pub mod web;
