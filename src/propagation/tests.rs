//! Whole journeys of [`super::Propagation`] against scripted servers on loopback.
