//! The program from outside.

mod sdk;
