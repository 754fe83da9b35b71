//! Lanes that are not what they were said to be, and news of what was never sent (C1, N1).

use super::{a_dialer_ends_the_session, an_acceptor_ends_the_session};
use crate::rules::lanes;

#[tokio::test]
async fn a_session_ends_when_a_lane_changes_or_there_are_too_many() {
    an_acceptor_ends_the_session(lanes::lanes()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_whose_peer_acknowledges_what_was_never_sent() {
    an_acceptor_ends_the_session(lanes::impossible_news()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_whose_peer_acknowledges_what_was_never_sent() {
    a_dialer_ends_the_session(lanes::impossible_news()).await;
}
