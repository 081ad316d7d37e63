//! Providers described as data.
mod filters;
mod query;
mod source;
mod template;
mod model;
