//! Tokens of vendors that terminals of one account share. They are the one thing that this room
//! could read: they are sealed with the box's key at rest, bound to their account and vendor.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, internal, ok, store_error};
use super::db::vendor_tokens;
use super::{Happy, call};
use crate::server::{HttpError, Method, Request, Router};

/// Seals what only this box may read.
pub trait Seal {
    /// `None`: the system gave no random numbers, or the text is beyond all measure.
    fn seal(&self, name: &str, text: &str) -> Option<String>;
    /// `None`: sealed by another box, under another name, or damaged.
    fn open(&self, name: &str, sealed: &str) -> Option<String>;
}

const VENDORS: &[&str] = &["openai", "anthropic", "gemini"];

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/connect/{vendor}/register", keep);
    happy.route(router, Method::GET, "/v1/connect/{vendor}/token", one);
    happy.route(router, Method::DELETE, "/v1/connect/{vendor}", forget);
    happy.route(router, Method::GET, "/v1/connect/tokens", all);
}

#[derive(Deserialize)]
struct Kept {
    token: String,
}

async fn keep(happy: Happy, mut request: Request) -> Answer {
    let Kept { token } = call::body(&mut request).await?;
    let vendor = vendor(&request)?;
    let account = happy.account(&request.head)?;
    let sealed = happy.0.seal.seal(&name(&account, vendor), &token);
    let sealed = sealed.ok_or_else(internal)?;
    let now = happy.0.clock.wall();
    happy
        .0
        .store
        .write_sized(sealed.len(), move |db| {
            vendor_tokens::put(db, &account, vendor, &sealed, now)
        })
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

async fn one(happy: Happy, request: Request) -> Answer {
    let vendor = vendor(&request)?;
    let account = happy.account(&request.head)?;
    let owner = account.clone();
    let sealed = happy
        .0
        .store
        .query(move |db| vendor_tokens::get(db, &owner, vendor))
        .await
        .map_err(store_error)?;
    let token = sealed.and_then(|sealed| happy.open(&account, vendor, &sealed));
    ok(json!({"token": token}))
}

async fn all(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let owner = account.clone();
    let kept = happy
        .0
        .store
        .query(move |db| vendor_tokens::list(db, &owner))
        .await
        .map_err(store_error)?;
    let told = |(vendor, sealed): (String, String)| {
        let token = happy.open(&account, &vendor, &sealed)?;
        Some(json!({"vendor": vendor, "token": token}))
    };
    let tokens: Vec<Value> = kept.into_iter().filter_map(told).collect();
    ok(json!({"tokens": tokens}))
}

/// Also where there is none.
async fn forget(happy: Happy, request: Request) -> Answer {
    let vendor = vendor(&request)?;
    let account = happy.account(&request.head)?;
    happy
        .0
        .store
        .write(move |db| vendor_tokens::remove(db, &account, vendor))
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

fn vendor(request: &Request) -> Result<&'static str, HttpError> {
    let asked = request.param("vendor");
    let known = VENDORS.iter().find(|known| **known == asked);
    known.copied().ok_or_else(|| {
        HttpError::invalid(format!(
            "The vendor has to be one of {}.",
            VENDORS.join(", ")
        ))
    })
}

/// What a token is bound to, so that one cannot be passed off as another.
fn name(account: &str, vendor: &str) -> String {
    format!("happy/{account}/{vendor}")
}

impl Happy {
    fn open(&self, account: &str, vendor: &str, sealed: &str) -> Option<String> {
        let token = self.0.seal.open(&name(account, vendor), sealed);
        if token.is_none() {
            log::warn!("event=happy_vendor_token_unreadable vendor={vendor}");
        }
        token
    }
}
