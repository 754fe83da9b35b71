//! Commands over HTTP: `GET /status` and `POST /command`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bowline_netsim::proxy::{Proxy, Reply};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::lines::{COMMAND_BYTES, too_long};
use super::{perform, refusal, reply};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 32;

/// How long a connection may live: long enough for a request, too short to be hoarded.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// Room for the head of a request.
const HEAD_BYTES: usize = 16 << 10;

/// Serves until the program ends.
pub(super) async fn serve(proxy: Arc<Proxy>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // No more files, most likely. Some will be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(&proxy, request));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).max_buf_size(HEAD_BYTES);
            let connection = http.serve_connection(TokioIo::new(stream), answer);
            // A connection that breaks is the business of the other side.
            tokio::time::timeout(CONNECTION_LIFE, connection).await.ok();
            drop(permit);
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(proxy: &Proxy, request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match (request.uri().path(), request.method()) {
        ("/status", &Method::GET | &Method::HEAD) => {
            let status = Reply::Status(Box::new(proxy.status()));
            say(StatusCode::OK, &reply("status", &status))
        }
        ("/command", &Method::POST) => match command(request).await {
            Ok(line) => follow(proxy, &line),
            Err((status, reason)) => say(status, &refusal(&reason)),
        },
        ("/status", _) => not_allowed("GET"),
        ("/command", _) => not_allowed("POST"),
        (path, _) => {
            let reason = format!("there is no {path}: GET /status or POST /command");
            say(StatusCode::NOT_FOUND, &refusal(&reason))
        }
    })
}

fn follow(proxy: &Proxy, line: &str) -> Answer {
    match perform(proxy, line) {
        Ok(done) => say(StatusCode::OK, &reply(line, &done)),
        Err(error) => say(StatusCode::BAD_REQUEST, &refusal(&error.to_string())),
    }
}

/// The command in the body: the line itself, or JSON with the line in it.
async fn command(request: Request<Incoming>) -> Result<String, (StatusCode, String)> {
    let body = Limited::new(request.into_body(), COMMAND_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            (StatusCode::PAYLOAD_TOO_LARGE, too_long())
        } else {
            (StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
        }
    })?;
    let body = body.to_bytes();
    let bad = |reason: &str| (StatusCode::BAD_REQUEST, reason.to_owned());
    let text = std::str::from_utf8(&body).map_err(|_| bad("the body is no text: send a command in UTF-8"))?;
    if !text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let form = "the body is no JSON like {\"command\":\"loss 20\"}";
    let object: Value = serde_json::from_str(text).map_err(|error| bad(&format!("{form}: {error}")))?;
    object["command"].as_str().map(str::to_owned).ok_or_else(|| bad(form))
}

fn not_allowed(method: &'static str) -> Answer {
    let reason = format!("only {method} is possible here");
    let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, &refusal(&reason));
    answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static(method));
    answer
}

fn say(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::from(format!("{body}\n")));
    *answer.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
