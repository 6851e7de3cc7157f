//! Assets and files: ETag, Range, HEAD, and no way out of the folder.

use std::fs;

use crate::house::{Answer, House, STYLE};

fn get(house: &House, path: &str, headers: &str) -> Answer {
    house.connect().ask(format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    ))
}

#[test]
fn a_file_is_served_whole_in_parts_and_not_again() {
    let house = House::start();
    let sound: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
    fs::create_dir(house.folder.path().join("a")).expect("a folder");
    fs::write(house.folder.path().join("a/b.wav"), &sound).expect("a file");
    let whole = get(&house, "/files/a/b.wav", "");
    assert_eq!((whole.status, whole.body == sound), (200, true));
    assert_eq!(whole.header("content-type"), Some("audio/wav"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let etag = whole.header("etag").expect("an ETag").to_owned();
    for (headers, status, range, bytes) in [
        (
            "Range: bytes=0-9\r\n".into(),
            206,
            Some("bytes 0-9/200000"),
            &sound[..10],
        ),
        (
            "Range: bytes=199990-\r\n".into(),
            206,
            Some("bytes 199990-199999/200000"),
            &sound[199_990..],
        ),
        (
            "Range: bytes=-5\r\n".into(),
            206,
            Some("bytes 199995-199999/200000"),
            &sound[199_995..],
        ),
        (
            "Range: bytes=100000-\r\n".into(),
            206,
            Some("bytes 100000-199999/200000"),
            &sound[100_000..],
        ),
        (
            "Range: bytes=200000-\r\n".into(),
            416,
            Some("bytes */200000"),
            &[],
        ),
        (
            format!("Range: bytes=0-9\r\nIf-Range: {etag}\r\n"),
            206,
            Some("bytes 0-9/200000"),
            &sound[..10],
        ),
        (
            "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n".into(),
            200,
            None,
            &sound[..],
        ),
        (format!("If-None-Match: {etag}\r\n"), 304, None, &[]),
        ("If-None-Match: \"other\"\r\n".into(), 200, None, &sound[..]),
    ] {
        let answer = get(&house, "/files/a/b.wav", &headers);
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("content-range"), range, "{headers}");
        assert!(answer.body == bytes, "{headers}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()), "{headers}");
    }
    let mut client = house.connect();
    client.send("HEAD /files/a/b.wav HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer_to("HEAD").expect("an answer");
    assert_eq!(answer.header("content-length"), Some("200000"));
    assert_eq!(
        client
            .ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .status,
        200
    );
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let house = House::start();
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), "secret").expect("a file");
    std::os::unix::fs::symlink(outside.path(), house.folder.path().join("link")).expect("a link");
    fs::write(house.folder.path().join("ok.txt"), "ok").expect("a file");
    assert_eq!(get(&house, "/files/ok.txt", "").text(), "ok");
    for (path, status) in [
        ("/files/link/secret", 404),
        ("/files/", 404),
        ("/files/link", 404),
        ("/files//etc/passwd", 404),
        ("/files/%2fetc%2fpasswd", 404),
        ("/files/ok.txt/", 404),
        ("/files/ok.txt/x", 404),
        ("/files/missing", 404),
        ("/files/..%5c..%5csecret", 400),
    ] {
        assert_eq!(get(&house, path, "").status, status, "{path}");
    }
}

#[test]
fn an_asset_is_packed_once_and_known_by_its_etag() {
    let house = House::start();
    let plain = get(&house, "/style.css", "");
    assert_eq!(plain.text(), STYLE);
    let packed = get(&house, "/style.css", "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() * 2 < plain.body.len());
    let etag = packed.header("etag").expect("an ETag").to_owned();
    assert_ne!(plain.header("etag"), Some(etag.as_str()));
    let headers = format!("Accept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n");
    assert_eq!(get(&house, "/style.css", &headers).status, 304);
    let part = get(
        &house,
        "/style.css",
        "Accept-Encoding: gzip\r\nRange: bytes=0-2\r\n",
    );
    assert_eq!((part.status, part.text()), (206, &STYLE[..3]));
    assert_eq!(part.header("content-encoding"), None);
}
