//! `chat listen`: one guest after the other, until the person at this end has had enough.

use std::error::Error;

use bowline::Endpoint;
use bowline::config::Config;

use crate::cli::ListenArgs;
use crate::connect::identity;
use crate::door::{Door, Guest};
use crate::input::{Intent, LINE_BYTES};
use crate::kept::Kept;
use crate::notice::Notice;
use crate::peer::{Conversation, DRAIN};
use crate::talk::talk;
use crate::ui::Front;

/// Runs the command to its end.
pub(crate) async fn run(args: ListenArgs) -> Result<(), Box<dyn Error>> {
    let identity = identity(&args.common)?;
    let fingerprint = identity.fingerprint().to_string();
    let endpoint = Endpoint::bind(
        args.addr,
        identity,
        Config::default().max_message_size(LINE_BYTES).one_session_per_identity(true),
    )?;
    let addr = endpoint.local_addr()?;
    let mut front = Front::open(args.common.json)?;
    front.show(&Notice::Listening { addr, fingerprint, program: program() })?;

    let mut door = Door::open(endpoint.clone());
    let mut kept = Kept::default();
    let mut is_first = true;
    while let Some(Guest { session, name, ticket }) = wait(&mut door, &mut front, &mut kept, is_first).await?
    {
        is_first = false;
        let wanted = match Conversation::start(session, &args.name, name).await {
            Ok(conversation) => talk(conversation, &mut front, &mut kept).await?.wanted,
            Err(error) => {
                front.show(&Notice::Problem(format!("the guest has left already: {error}")))?;
                false
            }
        };
        door.free(ticket);
        if wanted {
            break;
        }
    }
    drop(front);
    endpoint.close("", DRAIN).await;
    Ok(())
}

/// Waits for the next guest; `None` if the person does not want to.
async fn wait(
    door: &mut Door,
    front: &mut Front,
    kept: &mut Kept,
    is_first: bool,
) -> Result<Option<Guest>, Box<dyn Error>> {
    loop {
        tokio::select! {
            guest = door.guest() => return Ok(guest),
            wanted = kept.keep(front) => match wanted? {
                // `echo hello | chat listen` is meant for somebody.
                Intent::End if is_first && !kept.is_empty() => {}
                _ => return Ok(None),
            },
        }
    }
}

/// How this program was started, so that the command shown can be copied.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "chat".to_owned())
}
