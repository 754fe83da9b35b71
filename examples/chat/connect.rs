//! `chat connect`: dials one peer, and stays until one of the two leaves.

use std::error::Error;
use std::pin::pin;

use bowline::Endpoint;
use bowline::config::Config;
use bowline::error::{CloseCode, Side};
use bowline::tls::{Identity, Trust};

use crate::cli::{CommonArgs, ConnectArgs};
use crate::input::{Intent, LINE_BYTES};
use crate::kept::Kept;
use crate::notice::Notice;
use crate::peer::{Conversation, DRAIN};
use crate::talk::{End, talk};
use crate::ui::Front;

/// Runs the command to its end.
pub(crate) async fn run(args: ConnectArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::default().max_message_size(LINE_BYTES).reconnect(args.reconnect.into());
    let endpoint = Endpoint::client(identity(&args.common)?, config)?;
    let mut front = Front::open(args.common.json)?;
    let mut kept = Kept::default();
    let dialing = endpoint.connect(args.target.as_str(), Trust::fingerprint(args.fingerprint));
    let mut dialing = pin!(dialing.into_future());
    let session = loop {
        tokio::select! {
            session = &mut dialing => break session?,
            wanted = kept.keep(&mut front) => {
                // Whoever has said all there is to say wants it to arrive; a dial never takes long.
                if wanted? == Intent::Interrupt {
                    return Err("interrupted".into());
                }
            }
        }
    };
    let conversation = Conversation::start(session, &args.name, args.fingerprint.to_string()).await?;
    let End { reason, wanted } = talk(conversation, &mut front, &mut kept).await?;
    front.leave(&Notice::Closed(reason.clone()))?;
    endpoint.close("", DRAIN).await;
    // A peer that left in an orderly way is no failure.
    match (reason.code, reason.side) {
        _ if wanted => Ok(()),
        (CloseCode::Normal, Side::Remote) => Ok(()),
        _ => Err(format!("the conversation ended: {reason}").into()),
    }
}

/// Who this side is: the key in the file, or a new one that is forgotten at the end.
pub(crate) fn identity(args: &CommonArgs) -> Result<Identity, Box<dyn Error>> {
    Ok(match &args.identity {
        Some(path) => Identity::load_or_generate(path)?,
        None => Identity::generate()?,
    })
}
