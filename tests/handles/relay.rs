//! A relay between dialer and listener that can lose what it carries, as a NAT does that forgets its mappings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// A socket towards the listener for each address that dialed.
    mappings: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    /// Addresses from and to which nothing is carried any more.
    dead: BTreeSet<SocketAddr>,
    blackout: bool,
    /// Packets that were lost on purpose.
    lost: u64,
}

impl Relay {
    pub(crate) async fn to(listener: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let addr = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(forth(socket, listener, state.clone()));
        Self { addr, state }
    }

    /// Every connection so far is cut; new ones get through.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        let known: Vec<_> = state.mappings.keys().copied().collect();
        state.dead.extend(known);
    }

    /// Every connection so far gets a new address towards the listener.
    pub(crate) fn rebind(&self) {
        self.state.lock().unwrap().mappings.clear();
    }

    /// Nothing gets through, or everything again that is not cut.
    pub(crate) fn blackout(&self, on: bool) {
        self.state.lock().unwrap().blackout = on;
    }

    pub(crate) fn lost(&self) -> u64 {
        self.state.lock().unwrap().lost
    }
}

impl State {
    fn carries(&mut self, dialer: SocketAddr) -> bool {
        let carries = !self.blackout && !self.dead.contains(&dialer);
        self.lost += u64::from(!carries);
        carries
    }
}

async fn forth(socket: Arc<UdpSocket>, listener: SocketAddr, state: Arc<Mutex<State>>) {
    let mut packet = vec![0; 65_536];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut packet).await else { continue };
        if !state.lock().unwrap().carries(from) {
            continue;
        }
        let known = state.lock().unwrap().mappings.get(&from).cloned();
        let mapping = match known {
            Some(mapping) => mapping,
            None => {
                let mapping = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                mapping.connect(listener).await.unwrap();
                state.lock().unwrap().mappings.insert(from, mapping.clone());
                tokio::spawn(back(mapping.clone(), socket.clone(), from, state.clone()));
                mapping
            }
        };
        let _ = mapping.send(&packet[..size]).await;
    }
}

/// Only what the mapping in force receives gets back to the dialer.
async fn back(mapping: Arc<UdpSocket>, socket: Arc<UdpSocket>, to: SocketAddr, state: Arc<Mutex<State>>) {
    let mut packet = vec![0; 65_536];
    loop {
        let Ok(size) = mapping.recv(&mut packet).await else { continue };
        let in_force = {
            let mut state = state.lock().unwrap();
            state.carries(to) && state.mappings.get(&to).is_some_and(|known| Arc::ptr_eq(known, &mapping))
        };
        if in_force {
            let _ = socket.send_to(&packet[..size], to).await;
        }
    }
}
