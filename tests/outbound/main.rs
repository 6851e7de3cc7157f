//! Calls out against servers and proxies that answer, stall, break off and lie.

mod world;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use magpie::ops::Registry;
use magpie::outbound::backoff::Backoff;
use magpie::outbound::{CallError, CallLimits, CallRequest, Outbound, OutboundOptions, Proxy};
use world::{Script, World, on_loop};

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 11\r\n\r\nhello world";

fn outbound() -> Outbound {
    with(OutboundOptions::default())
}

fn with(options: OutboundOptions) -> Outbound {
    Outbound::new(options, &Registry::default()).unwrap()
}

fn get(url: String) -> CallRequest {
    let short = Duration::from_millis(400);
    CallRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        limits: CallLimits {
            connect: short,
            first_byte: short,
            idle: short,
            total: Duration::from_secs(5),
            answer_bytes_max: 1_000,
        },
    }
}

#[test]
fn a_document_is_fetched_by_a_worker_and_a_stream_by_the_loop() {
    on_loop(async {
        let world = World::start(Script::Answer(ANSWER.into())).await;
        let outbound = outbound();
        let document = outbound.call(get(world.url("/a?b=c"))).await.unwrap();
        assert_eq!(document.status, 200);
        assert_eq!(document.body, "hello world");
        let stream = outbound.stream(get(world.url("/a?b=c"))).await.unwrap();
        assert_eq!(stream.headers[header::CONTENT_TYPE], "text/plain");
        assert_eq!(stream.body.collect(100).await.unwrap(), "hello world");
        for head in world.heads() {
            assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
            assert!(
                head.to_lowercase().contains("\r\nhost: 127.0.0.1:"),
                "{head}"
            );
        }
    });
}

#[test]
fn an_answer_cut_at_any_byte_is_told_by_both() {
    on_loop(async {
        for cut in 0..ANSWER.len() {
            let world = World::start(Script::Cut(ANSWER.into(), cut)).await;
            let outbound = outbound();
            let document = outbound.call(get(world.url("/"))).await;
            assert!(document.is_err(), "call, cut at {cut}: {document:?}");
            let streamed = match outbound.stream(get(world.url("/"))).await {
                Ok(stream) => stream.body.collect(100).await,
                Err(error) => Err(error),
            };
            assert!(streamed.is_err(), "stream, cut at {cut}: {streamed:?}");
        }
    });
}

#[test]
fn every_limit_ends_its_wait_by_its_name() {
    on_loop(async {
        let outbound = outbound();
        let silent = World::start(Script::Silent).await;
        let half = World::start(Script::Stall(ANSWER.into(), ANSWER.len() - 5)).await;
        for url in [silent.url("/"), half.url("/")] {
            let call = outbound.call(get(url.clone())).await;
            assert!(
                matches!(call, Err(CallError::Timeout(_))),
                "{url}: {call:?}"
            );
        }
        let stream = outbound.stream(get(silent.url("/"))).await;
        assert_eq!(stream.err(), Some(CallError::Timeout("first byte")));
        let body = outbound.stream(get(half.url("/"))).await.unwrap().body;
        assert_eq!(body.collect(100).await, Err(CallError::Timeout("idle")));
        let mut endless = get(World::start(Script::Endless).await.url("/"));
        endless.limits.total = Duration::from_millis(300);
        let body = outbound.stream(endless).await.unwrap().body;
        assert_eq!(
            body.collect(usize::MAX).await,
            Err(CallError::Timeout("total"))
        );
    });
}

#[test]
fn what_is_too_large_or_no_http_is_refused() {
    on_loop(async {
        let outbound = outbound();
        let mut small = get(World::start(Script::Answer(ANSWER.into())).await.url("/"));
        small.limits.answer_bytes_max = 10;
        assert_eq!(
            outbound.call(small.clone()).await.err(),
            Some(CallError::TooLarge)
        );
        let body = outbound.stream(small).await.unwrap().body;
        assert_eq!(body.collect(10).await, Err(CallError::TooLarge));
        let noise = World::start(Script::Answer("SSH-2.0-OpenSSH_9\r\n\r\n".into())).await;
        assert!(matches!(
            outbound.stream(get(noise.url("/"))).await,
            Err(CallError::Broken(_))
        ));
        let nobody = "http://127.0.0.1:1/".to_owned();
        for error in [
            outbound.call(get(nobody.clone())).await.err(),
            outbound.stream(get(nobody)).await.err(),
        ] {
            assert!(matches!(error, Some(CallError::Connect(_))), "{error:?}");
        }
        for url in [
            "ftp://x/",
            "http://",
            "nonsense",
            "http://user:secret@host/",
        ] {
            let error = outbound.call(get(url.to_owned())).await.unwrap_err();
            assert!(matches!(error, CallError::Invalid(_)), "{url}: {error:?}");
        }
    });
}

#[test]
fn dropping_a_stream_ends_the_servers_connection_at_once() {
    on_loop(async {
        let world = World::start(Script::Endless).await;
        let outbound = outbound();
        let mut body = outbound.stream(get(world.url("/"))).await.unwrap().body;
        assert!(body.chunk().await.unwrap().is_some());
        assert_eq!(world.open(), 1);
        drop(body);
        world.until(|world| world.open() == 0).await;
    });
}

#[test]
fn a_dropped_call_that_waits_never_starts_and_the_bounds_hold() {
    on_loop(async {
        let world = World::start(Script::Silent).await;
        let outbound = outbound();
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let (outbound, request) = (outbound.clone(), get(world.url("/")));
                tokio::task::spawn_local(async move { outbound.call(request).await })
            })
            .collect();
        world.until(|world| world.seen() == 8).await;
        let mut busy = 0;
        for call in calls {
            if call.is_finished() {
                busy += usize::from(call.await.unwrap().err() == Some(CallError::Busy));
            } else {
                call.abort();
            }
        }
        assert!(busy >= 100 - 8 - 64, "{busy}");
        // The eight running ones end by their limit; those that waited are gone with their owner.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(world.seen(), 8);
    });
}

#[test]
fn a_connection_serves_again_and_a_stale_one_is_replaced_unnoticed() {
    on_loop(async {
        let world = World::start(Script::Answer(ANSWER.into())).await;
        let outbound = outbound();
        for _ in 0..3 {
            let stream = outbound.stream(get(world.url("/"))).await.unwrap();
            stream.body.collect(100).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.accepted(), 1, "the connection was not kept");
        world.hang_up();
        let stream = outbound.stream(get(world.url("/"))).await.unwrap();
        assert_eq!(stream.body.collect(100).await.unwrap(), "hello world");
        assert_eq!(world.accepted(), 2);
    });
}

#[test]
fn fifty_streams_run_side_by_side() {
    on_loop(async {
        let world = World::start(Script::Answer(ANSWER.into())).await;
        let outbound = outbound();
        let streams: Vec<_> = (0..50)
            .map(|_| {
                let (outbound, request) = (outbound.clone(), get(world.url("/")));
                tokio::task::spawn_local(async move {
                    outbound.stream(request).await?.body.collect(100).await
                })
            })
            .collect();
        for stream in streams {
            assert_eq!(stream.await.unwrap().unwrap(), "hello world");
        }
    });
}

#[test]
fn both_kinds_of_proxy_are_passed_through_and_told_apart_from_the_server() {
    on_loop(async {
        let world = World::start(Script::Answer(ANSWER.into())).await;
        for scheme in ["http", "socks5"] {
            let proxy = World::start_proxy(scheme, "me", "hidden").await;
            let options = |url: &str| OutboundOptions {
                proxy: Some(Proxy::parse(url).unwrap()),
                ..OutboundOptions::default()
            };
            let port = proxy.port();
            let open = with(options(&format!("{scheme}://me:hidden@127.0.0.1:{port}")));
            let stream = open.stream(get(world.url("/"))).await.unwrap();
            assert_eq!(
                stream.body.collect(100).await.unwrap(),
                "hello world",
                "{scheme}"
            );
            assert_eq!(proxy.seen(), 1, "{scheme} was not used");
            let wrong = with(options(&format!(
                "{scheme}://me:forgotten@127.0.0.1:{port}"
            )));
            let error = wrong.stream(get(world.url("/"))).await.err().unwrap();
            assert!(matches!(error, CallError::Connect(_)), "{error:?}");
            let told = format!("{error} {error:?} {:?}", options("http://me:forgotten@h:1"));
            assert!(!told.contains("forgotten"), "{told}");
            let mut direct = options(&format!("{scheme}://127.0.0.1:1"));
            direct.no_proxy = vec!["127.0.0.1".into()];
            assert!(
                with(direct).call(get(world.url("/"))).await.is_ok(),
                "{scheme}"
            );
        }
    });
}

#[test]
fn no_error_holds_a_query_or_a_header() {
    on_loop(async {
        let outbound = outbound();
        for url in [
            "http://127.0.0.1:1/path?key=topsecret".to_owned(),
            World::start(Script::Silent).await.url("/?key=topsecret"),
            World::start(Script::Cut(ANSWER.into(), 20))
                .await
                .url("/?key=topsecret"),
        ] {
            let mut request = get(url);
            let value = "Bearer topsecret".parse().unwrap();
            request.headers.insert(header::AUTHORIZATION, value);
            for error in [
                outbound.call(request.clone()).await.err(),
                match outbound.stream(request).await {
                    Ok(stream) => stream.body.collect(100).await.err(),
                    Err(error) => Some(error),
                },
            ] {
                let error = error.unwrap();
                let told = format!("{error} {error:?}");
                assert!(!told.contains("topsecret"), "{told}");
            }
        }
    });
}

#[test]
fn a_server_of_ones_own_is_trusted_by_its_authority_alone() {
    on_loop(async {
        let (world, authority) = World::start_secure(Script::Answer(ANSWER.into())).await;
        let url = format!("https://localhost:{}/", world.port());
        let strange = outbound().stream(get(url.clone())).await.err();
        assert!(matches!(strange, Some(CallError::Tls(_))), "{strange:?}");
        let known = with(OutboundOptions {
            extra_authorities: authority.into_bytes(),
            ..OutboundOptions::default()
        });
        assert_eq!(known.call(get(url)).await.unwrap().body, "hello world");
    });
}

#[test]
fn a_call_is_tried_again_when_the_server_asks_for_patience() {
    on_loop(async {
        let world = World::start(Script::Then(
            "HTTP/1.1 503 Later\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".into(),
            ANSWER.into(),
        ))
        .await;
        let backoff = Backoff {
            first: Duration::from_millis(5),
            ..Backoff::default()
        };
        let clock = magpie::clock::Clock::system();
        let answer = outbound()
            .call_again(get(world.url("/")), backoff, || clock.wall())
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(world.seen(), 2);
    });
}
