//! The protocol core against a reference model, in virtual time: two machines, a network that does its worst, and
//! applications that do as they like.

mod answers;
mod attach;
mod channels;
mod counts;
mod data_pipe;
mod deadlines;
mod dormant;
mod ending;
mod greeting;
mod healing;
mod joining;
mod journal;
mod large;
mod learning;
mod life;
mod link;
mod model;
mod modes;
mod net;
mod peer;
mod plan;
mod properties;
mod restart;
mod rng;
mod scene;
mod service;
mod settings;
mod store;
mod tellings;
mod violations;
mod world;
