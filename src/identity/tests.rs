//! Identity on a real store: claims, restarts, modes, bounds.

use super::*;
use crate::store::{Durability, StoreOptions};

fn on_a_loop(work: impl AsyncFnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work(folder.path()));
}

async fn open(folder: &Path, clock: &Clock, mode: AuthMode) -> (Store, Identity) {
    let store = Store::open(StoreOptions {
        path: folder.join("box.db"),
        clock: clock.clone(),
        metrics: crate::ops::Registry::default(),
        durability: Durability::Full,
    })
    .expect("a store");
    let identity = Identity::load(store.clone(), clock.clone(), mode)
        .await
        .expect("loads");
    (store, identity)
}

fn from<'a>(peer: &str, plainly_local: bool, token: Option<&'a str>) -> Credentials<'a> {
    Credentials {
        token,
        peer: peer.parse().expect("an address"),
        plainly_local,
    }
}

#[test]
fn the_first_device_claims_the_box_and_its_token_outlives_a_restart_and_a_clock_jump() {
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(1_767_322_999_000));
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        assert!(!identity.is_claimed());
        let code = identity.claim_code().expect("a code").expect("unclaimed");
        let same = identity.claim_code().expect("a code").expect("unclaimed");
        assert_eq!(code.code, same.code);
        let paired = identity
            .pair(&code.code, "Phone 手机")
            .await
            .expect("pairs");
        assert!(paired.claimed && paired.device.admin && identity.is_claimed());
        assert!(identity.claim_code().expect("no error").is_none());

        let code = identity.new_code(false).expect("a code");
        let second = identity.pair(&code.code, "").await.expect("pairs");
        assert!(!second.claimed && !second.device.admin);
        store.close().await.expect("closes");

        clock.set_wall(UnixMillis(-200_000_000_000));
        let (store, identity) = open(folder, &clock, AuthMode::Strict).await;
        assert!(identity.is_claimed());
        let who = identity.who(&from("192.168.1.7", false, Some(&paired.token)));
        let Who::Device { id, admin: true } = who else {
            panic!("{who:?}");
        };
        assert_eq!(*id, *paired.device.id);
        assert_eq!(identity.devices().len(), 2);
        store.close().await.expect("closes");
    });
}

#[test]
fn a_revoked_device_is_nobody_now_and_after_a_restart() {
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(0));
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        let code = identity.claim_code().expect("a code").expect("unclaimed");
        let paired = identity.pair(&code.code, "Phone").await.expect("pairs");
        assert_eq!(identity.revoke("dev_0000000000000000").await, Ok(false));
        assert_eq!(identity.revoke(&paired.device.id).await, Ok(true));
        let credentials = from("192.168.1.7", false, Some(&paired.token));
        assert_eq!(identity.who(&credentials), Who::Nobody);
        store.close().await.expect("closes");
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        assert_eq!(identity.who(&credentials), Who::Nobody);
        // The owner stays: revoking every device does not put the box up for grabs.
        assert!(identity.is_claimed());
        assert!(identity.claim_code().expect("no error").is_none());
        store.close().await.expect("closes");
    });
}

#[test]
fn who_is_the_owner_depends_on_mode_address_and_plainness() {
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(0));
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        let stale = Some("mgp_nobodyknowsthis");
        for (mode, peer, plain, token, expected) in [
            (AuthMode::Lan, "127.0.0.1", true, None, Who::Owner),
            (AuthMode::Lan, "127.8.8.8", true, None, Who::Owner),
            (AuthMode::Lan, "::1", true, None, Who::Owner),
            (AuthMode::Lan, "::ffff:127.0.0.1", true, None, Who::Owner),
            (AuthMode::Lan, "127.0.0.1", false, None, Who::Nobody),
            (AuthMode::Lan, "192.168.1.7", true, None, Who::Nobody),
            (AuthMode::Lan, "192.168.1.7", false, stale, Who::Nobody),
            (AuthMode::Lan, "127.0.0.1", true, stale, Who::Owner),
            (AuthMode::Strict, "127.0.0.1", true, None, Who::Nobody),
            (AuthMode::Strict, "127.0.0.1", true, stale, Who::Nobody),
            (AuthMode::Off, "192.168.1.7", false, None, Who::Owner),
        ] {
            identity.set_mode(mode);
            let found = identity.who(&from(peer, plain, token));
            assert_eq!(found, expected, "{mode:?} {peer} plain={plain} {token:?}");
        }
        store.close().await.expect("closes");
    });
}

#[test]
fn the_local_token_is_private_and_acts_as_the_owner() {
    use std::os::unix::fs::PermissionsExt;
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(0));
        let (store, identity) = open(folder, &clock, AuthMode::Strict).await;
        std::fs::write(folder.join("local.token"), "of an earlier start").expect("writes");
        identity.offer_local_token(folder).expect("offers");
        let path = folder.join("local.token");
        let token = std::fs::read_to_string(&path).expect("reads");
        let mode = std::fs::metadata(&path).expect("is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let who = identity.who(&from("127.0.0.1", true, Some(&token)));
        assert_eq!(who, Who::Owner);
        store.close().await.expect("closes");
    });
}

#[test]
fn last_seen_is_written_at_most_once_a_minute() {
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(1_000));
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        let code = identity.claim_code().expect("a code").expect("unclaimed");
        let paired = identity.pair(&code.code, "Phone").await.expect("pairs");
        let seen = |identity: &Identity| identity.devices()[0].last_seen_at;
        assert_eq!(seen(&identity), None);
        for (step_s, expected) in [(0, 1_000), (59, 1_000), (1, 61_000), (60, 121_000)] {
            clock.advance(Duration::from_secs(step_s));
            identity.who(&from("10.0.0.1", false, Some(&paired.token)));
            assert_eq!(seen(&identity), Some(UnixMillis(expected)));
        }
        store.close().await.expect("closes");
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        assert_eq!(seen(&identity), Some(UnixMillis(121_000)));
        store.close().await.expect("closes");
    });
}

#[test]
fn the_bound_on_devices_holds_and_names_are_checked() {
    on_a_loop(async |folder| {
        let clock = Clock::manual(UnixMillis(0));
        let (store, identity) = open(folder, &clock, AuthMode::Lan).await;
        let code = identity.claim_code().expect("a code").expect("unclaimed");
        let long = "名".repeat(limits::DEVICE_NAME_CHARS_MAX + 1);
        for name in ["two\nlines", long.as_str()] {
            let error = identity.pair(&code.code, name).await.err();
            assert_eq!(error, Some(ClaimError::BadName));
        }
        identity.pair(&code.code, "first").await.expect("pairs");
        while identity.devices().len() < limits::DEVICES_MAX {
            let code = identity.new_code(false).expect("a code");
            identity.pair(&code.code, "more").await.expect("pairs");
        }
        let full = Some(ClaimError::TooManyDevices);
        assert_eq!(identity.new_code(false).err(), full);
        assert_eq!(identity.pair("000000", "one").await.err(), full);
        store.close().await.expect("closes");
    });
}
