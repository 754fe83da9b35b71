//! Bowline over simulated networks, in virtual time: real endpoints, real QUIC, and a network that does what it is told.
//!
//! | file | what it holds |
//! |---|---|
//! | `world` | a client and a server on the two ends of a scenario |
//! | `process` | processes that can be killed, and disks that stay |
//! | `plan`, `program`, `run` | what happens in a run, what the programs do, and the run itself |
//! | `model`, `invariants` | what was sent, handed over and told, and what must hold of it: the guarantees |
//! | `scenarios` | the named scenarios of netsim, and what users notice of each |
//! | `random`, `weather`, `report` | a swarm of random runs, replayed by their seeds |
//! | `exhaustive`, `steps`, `gate` | one fault at every place of a run: each packet, each frame |
//! | `beside` | what a large transfer does to the messages beside it |
//! | `hostile` | raw peers that break every rule, and a session beside them that does not notice |
//! | `endings` | how sessions end when nobody is there |
//! | `forgotten` | what becomes of messages whose sender lost its memory |
//! | `stores` | what a process has said, and what its successor remembers |
//! | `dormant` | clients that are not heard, or go to the background |
//! | `restart` | a server that is killed and started again |
//! | `servers` | servers that are killed, stopped, or take nothing, under traffic |
//! | `learning` | the adaptive heartbeat beside NATs that forget |
//! | `survival` | rebindings, silence and blackouts, and how long they last |
//! | `moves` | other networks, NATs that give another port every second, rebindings in a bulk transfer |
//! | `crowd`, `seeds` | many runs on all cores, and which |

mod beside;
mod crowd;
mod dormant;
mod endings;
mod exhaustive;
mod forgotten;
mod gate;
mod hostile;
mod invariants;
mod learning;
mod logs;
mod model;
mod moves;
mod plan;
mod process;
mod program;
mod random;
mod report;
mod restart;
#[path = "../core/rng.rs"]
mod rng;
mod run;
mod scenarios;
mod seeds;
mod servers;
mod steps;
mod stores;
mod survival;
mod weather;
mod world;
