//! Whatever dies or breaks, the next run finishes the work, and nothing is left behind. Needs the feature `failpoints`.
//!
//! `matrix` goes through a table of combinations, one fault each; `random` puts several faults in a row, from a seed.

mod account;
mod bind;
mod damage;
mod disk;
mod fault;
mod found;
mod kind;
mod matrix;
mod random;
mod scene;
mod site;
