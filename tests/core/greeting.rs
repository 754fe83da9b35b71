//! The accepting side before there is a session: Hellos, and what becomes of them.

use std::time::Duration;

use bowline::error::CloseCode;
use bowline::id::SessionId;
use bowline::protocol::machine::Machine;
use bowline::protocol::types::{Judgement, LinkId};
use bowline::wire::{Control, Frame, Hello};

use crate::link::Side;
use crate::peer::Peer;
use crate::store::Store;
use crate::world::{Who, World, ms_of, setup};

impl World {
    /// The acceptor judges the first Hello of a link.
    pub(crate) fn greet(&mut self, id: LinkId, hello: Hello, binding: &[u8]) {
        let now = self.now;
        let info = self.info(id, binding);
        let session = hello.session;
        match self.admission.judge(&hello, &info, now) {
            Judgement::Attach => {}
            Judgement::Create { supersedes } => {
                for old in supersedes {
                    self.with(Who::Acceptor(old), |peer, _, now| {
                        peer.machine.close(CloseCode::Superseded, "logged in elsewhere", Duration::ZERO, now);
                    });
                    self.admission.remove(old, None, now);
                }
                let secret = hello.secret.clone().expect("a session is created with its secret");
                let setup =
                    setup(&self.settings, Side::Acceptor, session, secret.clone(), &mut self.rng, ms_of(now));
                let store = self.settings.stores[1].then(Store::default);
                let mut peer = Peer::new(Side::Acceptor, Machine::new(setup.clone(), now), setup, store, now);
                peer.other_journals = self.settings.stores[0];
                self.admission.insert(session, secret, binding.to_vec());
                self.copied.clear();
                if let Some(mut before) = self.acceptors.insert(session, peer) {
                    self.model.receiver_gone(&mut before.handed, |_| None);
                }
            }
            Judgement::Retry(retry) => return self.reply(id, Control::Retry(retry)),
            Judgement::Refuse(refuse) => {
                let (code, reason) = (CloseCode::from_value(refuse.code), refuse.reason.clone());
                self.reply(id, Control::Refuse(refuse));
                return self.close_link(Who::Acceptor(session), id, code, reason);
            }
        }
        self.owners.insert(id, session);
        if let Some(peer) = self.acceptors.get_mut(&session) {
            peer.machine.handle_link_up(id, info, now);
            peer.machine.handle_frame(id, Frame::Control(Control::Hello(Box::new(hello))), now);
            peer.wait = None;
        }
    }

    /// Somebody says on a link of its own what the dialer said on its last one: refused, and the victim is untouched.
    pub(crate) fn replay(&mut self, binding: &[u8]) {
        let Some(hello) = self.last_hello.clone() else { return };
        let victim = Who::Acceptor(hello.session);
        let look = |world: &mut Self| {
            world.with(victim, |peer, _, _| (peer.machine.attached(), peer.machine.stats()))
        };
        let before = look(self);
        let sessions = self.acceptors.len();
        let link = self.new_link();
        self.links.get_mut(&link).expect("it was made").dialer_open = false;
        self.greet(link, hello, binding);
        assert_eq!(look(self), before, "G11: a replayed Hello changed something");
        assert_eq!(self.acceptors.len(), sessions, "G11: a replayed Hello made a session");
        assert!(!self.links[&link].acceptor_open || !self.owners.contains_key(&link), "G11: it was let in");
        self.tally.replays += 1;
    }

    fn reply(&mut self, id: LinkId, control: Control) {
        let nobody = Who::Acceptor(SessionId::from_bytes([0; 16]));
        self.transmit(nobody, id, Frame::Control(control));
    }
}
