//! What is logged, at the most talkative level, tells nobody what was said or how to say it in somebody's place.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use bowline::{Config, Endpoint};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::host::{Host, identity, ordered, take_everything};
use crate::raw::{Claim, Face, Link};
use crate::soon;

/// Remembers all that is said, whoever says it and however trifling it is.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let _ = writeln!(self.0.lock().unwrap(), "{}", span.metadata().name());
        span.record(&mut Text(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The ways in which bytes are usually shown.
fn spellings(bytes: &[u8]) -> [String; 4] {
    [
        String::from_utf8_lossy(bytes).into_owned(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        format!("{bytes:?}").trim_matches(['[', ']']).to_owned(),
        bytes.escape_ascii().to_string(),
    ]
}

#[tokio::test]
async fn neither_payloads_nor_credentials_nor_secrets_are_logged() {
    let everything = Everything::default();
    // As long as there are two subscribers, tracing asks them and not the thread that logs a line first.
    let _second = tracing::Dispatch::new(Everything::default());
    // This runtime has one thread, so all that its tasks log is caught.
    let _guard = tracing::subscriber::set_default(everything.clone());
    let (payload, token, label) = (b"attack at dawn", b"let-me-in-4711", "plans");
    let secret = *b"0123456789-a-secret-of-32-bytes!";

    let asked = |_| std::future::ready(Ok(()));
    let mut host = Host::built(Endpoint::builder(identity()).authorize(asked));
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    let dial = endpoint.connect(host.address, host.trust()).credentials(&token[..]);
    let session = soon(dial).await.unwrap();
    take_everything(host.session().await, label).await;
    let (plans, _inbox) = session.open(label, ordered()).await.unwrap();
    soon(soon(plans.send(&payload[..])).await.unwrap()).await.unwrap();

    // One whose secret is known here, and one that breaks the rules in the middle of a message.
    let claim = Claim { secret: bowline::wire::Secret(secret), ..Claim::new(1) };
    let owner = identity();
    let mut link = Link::dial(host.address, Face::of(&owner)).await;
    let exporter = link.exporter();
    link.attach(&claim).await;
    let accepted = host.session().await;
    link.say(&crate::raw::naming(0, label)).await;
    let mut bytes = crate::raw::records(0, 0, &[payload, payload]);
    bytes.truncate(bytes.len() - 1);
    link.open_data(&bytes).await.finish().unwrap();
    crate::host::end(&accepted).await;
    soon(session.close()).await;

    let log = everything.0.lock().unwrap();
    for line in ["the peer broke the protocol", "message=received", "greeting"] {
        assert!(log.contains(line), "{line:?} is not caught, which is logged");
    }
    let proof = bowline::protocol::proof::prove(&claim.secret, &exporter, 1);
    let secrets = [&payload[..], token, &secret, &exporter, &proof];
    for spelling in secrets.into_iter().flat_map(spellings) {
        assert!(!log.contains(&spelling), "{spelling:?} is logged");
    }
}
