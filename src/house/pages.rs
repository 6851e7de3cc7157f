//! The page and its parts, compiled into the binary; `WEB_DIR` serves a folder in their place.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::House;
use crate::server::files::{self, Asset, content_type_of};
use crate::server::{
    Access, HeaderValue, Method, RequestHead, Response, Router, StatusCode, header,
};

/// One file of the page.
struct PageFile {
    /// Path below `web/`.
    name: &'static str,
    /// The same behind a slash.
    path: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal)*) => {
        &[$(PageFile {
            name: $name,
            path: concat!("/", $name),
            bytes: include_bytes!(concat!("../../web/", $name)),
        }),*]
    };
}

const FILES: &[PageFile] = files![
    "index.html" "style.css" "app.js" "api.js" "capture.js" "dom.js" "link.js" "microphone.js"
    "player.js" "prefs.js" "talk.js" "unsent.js" "words.js" "trust.js" "icons.svg" "icon.svg"
    "icon-192.png" "icon-512.png" "icon-maskable-512.png" "manifest.webmanifest"
    "el/magpie-box.js" "el/magpie-conversation.js" "el/magpie-conversations.js"
    "el/magpie-devices.js" "el/magpie-happy.js" "el/magpie-memories.js" "el/magpie-memory.js" "el/magpie-more.js"
    "el/magpie-pair.js" "el/magpie-queue.js" "el/magpie-ringing.js" "el/magpie-settings.js"
    "el/magpie-talk.js" "el/magpie-timers.js" "i18n/en.json" "i18n/zh.json"
    "i18n/help-zh.json"
];

/// Served beside the others, with what it keeps on the phone written into it.
const WORKER_PATH: &str = "/sw.js";
const WORKER: &str = include_str!("../../web/sw.js");

/// What the worker need not keep: pages of their own and pictures that only the system asks for.
const UNKEPT: &[&str] = &["trust.js", "icon-512.png", "icon-maskable-512.png"];

impl PageFile {
    /// Where a browser finds it.
    fn served_at(&self) -> &'static str {
        match self.name {
            "index.html" => "/",
            _ => self.path,
        }
    }
}

/// For the document of the interface.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(PageFile::served_at).chain([WORKER_PATH])
}

pub(super) fn routes(router: &mut Router, house: &House) {
    for file in FILES {
        let (name, bytes) = (file.name, file.bytes);
        let folder = house.0.web_dir.clone();
        let greeting = house.0.greeting.filter(|_| name == "index.html");
        let asset: Rc<OnceCell<Asset>> = Rc::default();
        router
            .route(
                Method::GET,
                file.served_at(),
                Access::Public,
                move |request| {
                    let (folder, asset) = (folder.clone(), Rc::clone(&asset));
                    async move {
                        if let Some(greeting) = greeting
                            && wants_plain_text(&request.head)
                        {
                            return Ok(Response::text(StatusCode::OK, greeting)
                                .with(header::VARY, HeaderValue::from_static("accept")));
                        }
                        match folder {
                            Some(folder) => {
                                files::file(&request.head, folder.join(name), content_type_of(name))
                                    .await
                            }
                            None => {
                                // Packed when it is first asked for, so that the start waits for none.
                                let made = || Asset::new(content_type_of(name), bytes);
                                Ok(asset.get_or_init(made).respond(&request.head))
                            }
                        }
                    }
                },
            )
            .uncounted();
    }
    let worker: Rc<OnceCell<String>> = Rc::default();
    router
        .route(Method::GET, WORKER_PATH, Access::Public, move |_| {
            let text = worker.get_or_init(worker_text).clone();
            let answer = Response::bytes(StatusCode::OK, content_type_of("sw.js"), text)
                .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            std::future::ready(Ok(answer))
        })
        .uncounted();
}

/// A program that reads text and no page.
fn wants_plain_text(head: &RequestHead) -> bool {
    let accept = head.header("accept").unwrap_or("").to_ascii_lowercase();
    accept.contains("text/plain") && !accept.contains("text/html")
}

/// The worker with the list of files it keeps and a version that changes with any of them.
fn worker_text() -> String {
    let mut digest = Sha256::new();
    for file in FILES {
        digest.update(file.name.as_bytes());
        digest.update(file.bytes);
    }
    let version: String = digest.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept: Vec<&str> = FILES
        .iter()
        .filter(|file| !UNKEPT.contains(&file.name))
        .map(PageFile::served_at)
        .collect();
    WORKER
        .replace("{{version}}", &version)
        .replace("{{kept}}", &kept.join(" "))
}

/// The folder of `WEB_DIR`, refused when it holds no page.
pub fn web_dir(folder: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    match folder {
        Some(folder) if !folder.join("index.html").is_file() => Err(format!(
            "{} holds no index.html; name a folder like web/ of the source, or leave it out",
            folder.display()
        )),
        folder => Ok(folder),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::config::SETTINGS;

    fn text(name: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.name == name);
        std::str::from_utf8(file.expect("is embedded").bytes).expect("is text")
    }

    #[test]
    fn both_languages_have_the_same_words_with_the_same_gaps() {
        let words = |path: &str| -> BTreeMap<String, String> {
            serde_json::from_str(text(path)).expect("is a map of strings")
        };
        let (en, zh) = (words("i18n/en.json"), words("i18n/zh.json"));
        assert!(en.keys().eq(zh.keys()), "the keys differ");
        let gaps = |text: &str| -> BTreeSet<String> {
            let parts = text.split('{').skip(1);
            parts
                .filter_map(|part| Some(part.split_once('}')?.0.to_owned()))
                .collect()
        };
        for (key, text) in &en {
            assert_eq!(gaps(text), gaps(&zh[key]), "{key}");
            assert!(
                !text.trim().is_empty() && !zh[key].trim().is_empty(),
                "{key}"
            );
        }
    }

    #[test]
    fn every_setting_is_told_in_chinese_and_no_other() {
        let told: BTreeMap<String, String> =
            serde_json::from_str(text("i18n/help-zh.json")).expect("is a map of strings");
        let told: BTreeSet<&str> = told.keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn every_file_of_the_page_is_served_and_kept_or_said_not_to_be() {
        fn gather(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).expect("the folder") {
                let entry = entry.expect("an entry");
                let name = format!("{below}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    gather(&entry.path(), &format!("{name}/"), found);
                } else {
                    found.insert(name);
                }
            }
        }
        let mut found = BTreeSet::new();
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        gather(&web, "", &mut found);
        let served: BTreeSet<String> = FILES
            .iter()
            .map(|file| file.name.to_owned())
            .chain(["sw.js".into(), "trust.html".into()])
            .collect();
        assert_eq!(found, served);
        let worker = worker_text();
        assert!(!worker.contains("{{"), "a gap is left");
        assert!(worker.contains("/el/magpie-talk.js") && !worker.contains("/trust.js"));
    }

    #[test]
    fn the_page_asks_nobody_else_and_has_nothing_inline() {
        for file in FILES.iter().filter(|file| !file.name.ends_with(".png")) {
            let path = file.name;
            let text = std::str::from_utf8(file.bytes).expect("is text");
            let elsewhere = ["https://", "http://"].iter().any(|scheme| {
                text.replace("http://www.w3.org/2000/svg", "")
                    .replace("`https://${", "")
                    .contains(scheme)
            });
            assert!(!elsewhere, "{path} names another site");
            if path.ends_with(".html") {
                assert!(
                    !text.contains("<style") && !text.contains(" style="),
                    "{path}"
                );
                assert!(!text.contains(" onclick="), "{path}");
                let scripts = text.matches("<script").count();
                assert_eq!(
                    text.matches("<script type=\"module\" src=").count(),
                    scripts
                );
            }
        }
    }

    #[test]
    fn every_word_that_the_page_asks_for_is_known() {
        let known: BTreeMap<String, String> =
            serde_json::from_str(text("i18n/en.json")).expect("is a map of strings");
        for file in FILES.iter().filter(|file| file.name.ends_with(".js")) {
            let path = file.name;
            let text = std::str::from_utf8(file.bytes).expect("is text");
            for part in text.split("word(\"").skip(1) {
                let key = part.split('"').next().unwrap_or_default();
                assert!(known.contains_key(key), "{path} asks for {key}");
            }
        }
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        assert_eq!(web_dir(None), Ok(None));
        assert!(web_dir(Some("/nowhere".into())).is_err());
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        assert_eq!(web_dir(Some(own.clone())), Ok(Some(own)));
    }
}
