//! Forms as curl, browsers and Python send them, and what is wrong with others.

use proptest::prelude::*;

use super::*;

const CURL: &[u8] = b"--------------------------d74496d66958873e\r\n\
Content-Disposition: form-data; name=\"audio\"; filename=\"test.wav\"\r\n\
Content-Type: audio/wav\r\n\r\n\
RIFF\r\n--------------------------d74496d66958873\0\r\r\n\
\r\n--------------------------d74496d66958873e\r\n\
Content-Disposition: form-data; name=\"format\"\r\n\r\n\
wav\r\n--------------------------d74496d66958873e--\r\n";
const CURL_BOUNDARY: &str = "------------------------d74496d66958873e";

type Parts = Vec<(Part, Vec<u8>)>;

fn parse(body: &[u8], boundary: &str, step: usize) -> Result<Parts, MultipartError> {
    let mut parser = Parser::new(boundary);
    let mut parts: Parts = Vec::new();
    let mut pieces = body.chunks(step.max(1));
    loop {
        match parser.event()? {
            Event::Part(part) => parts.push((part, Vec::new())),
            Event::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(&data),
            Event::PartEnd => {}
            Event::End => return Ok(parts),
            Event::NeedMore => match pieces.next() {
                Some(piece) => parser.push(piece),
                None => return Err(MultipartError::BreaksOff),
            },
        }
    }
}

fn part(name: &str, filename: Option<&str>, content_type: Option<&str>) -> Part {
    Part {
        name: name.to_string(),
        filename: filename.map(str::to_string),
        content_type: content_type.map(str::to_string),
    }
}

#[test]
fn a_form_of_curl_comes_apart_whole() {
    for step in [1, 2, 3, 7, 64, 4_096] {
        let parts = parse(CURL, CURL_BOUNDARY, step).expect("a form");
        assert_eq!(parts.len(), 2);
        assert_eq!(
            parts[0],
            (
                part("audio", Some("test.wav"), Some("audio/wav")),
                b"RIFF\r\n--------------------------d74496d66958873\0\r\r\n".to_vec()
            )
        );
        assert_eq!(parts[1], (part("format", None, None), b"wav".to_vec()));
    }
}

#[test]
fn names_are_read_as_browsers_write_them() {
    for (sent, filename) in [
        ("filename=\"录音 1.webm\"", "录音 1.webm"),
        ("filename=\"a%22b.wav\"", "a\"b.wav"),
        ("filename=\"a\\\"b.wav\"", "a\"b.wav"),
        ("filename=\"C:\\Users\\me\\note.wav\"", "note.wav"),
        ("filename=\"../../etc/passwd\"", "passwd"),
        ("filename=plain.wav", "plain.wav"),
        (
            "filename=\"x\"; filename*=UTF-8''na%C3%AFve.wav",
            "naïve.wav",
        ),
        ("filename=\"50%.wav\"", "50%.wav"),
    ] {
        let body = format!(
            "--b\r\ncontent-disposition: form-data; name=\"audio\"; {sent}\r\n\r\nx\r\n--b--"
        );
        let parts = parse(body.as_bytes(), "b", 5).expect(sent);
        assert_eq!(parts[0].0.filename.as_deref(), Some(filename), "{sent}");
    }
}

#[test]
fn an_empty_part_and_an_empty_form_are_forms() {
    let body = b"--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n\r\n--b--";
    assert_eq!(
        parse(body, "b", 1),
        Ok(vec![(part("t", None, None), Vec::new())])
    );
    assert_eq!(parse(b"--b--\r\n", "b", 1), Ok(Vec::new()));
    let padded = b"words before\r\n--b \t\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n1\r\n--b--after";
    assert_eq!(
        parse(padded, "b", 3),
        Ok(vec![(part("t", None, None), b"1".to_vec())])
    );
}

#[test]
fn what_is_broken_is_told() {
    let head = "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n";
    let many = "\r\n--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nx".repeat(40);
    let long = "n".repeat(400);
    for (body, what) in [
        (String::new(), "breaks off"),
        ("--b".to_string(), "breaks off"),
        (format!("{head}data without an end"), "breaks off"),
        (format!("{head}data\r\n--c--"), "breaks off"),
        ("x".repeat(5_000), "boundary is not found"),
        (format!("{many}\r\n--b--"), "more than 32 parts"),
        (
            format!("--b\r\nX: {}\r\n\r\n", "y".repeat(9_000)),
            "longer than 4096 bytes",
        ),
        (
            "--b\r\n\r\nx\r\n--b--".to_string(),
            "no Content-Disposition",
        ),
        (
            "--b\r\nX: y\r\n\r\nx\r\n--b--".to_string(),
            "no Content-Disposition",
        ),
        ("--b\r\nnonsense\r\n\r\nx\r\n--b--".to_string(), "no colon"),
        (
            "--b\r\nContent-Disposition: attachment; name=\"t\"\r\n\r\nx\r\n--b--".to_string(),
            "not form-data",
        ),
        (
            "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--".to_string(),
            "no name",
        ),
        (
            "--b\r\nContent-Disposition: form-data; name=\"t\r\n\r\nx\r\n--b--".to_string(),
            "does not end",
        ),
        (
            format!("--b\r\nContent-Disposition: form-data; name=\"{long}\"\r\n\r\nx\r\n--b--"),
            "longer than 255 characters",
        ),
        (
            String::from(
                "--b\r\nContent-Disposition: form-data; name=\"t\"\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--",
            ),
            "binary",
        ),
    ] {
        let error = parse(body.as_bytes(), "b", 100)
            .expect_err(&body)
            .to_string();
        assert!(error.contains(what), "{error} instead of {what}");
    }
    let latin = b"--b\r\nContent-Disposition: form-data; name=\"\xE9\"\r\n\r\nx\r\n--b--";
    let error = parse(latin, "b", 9).expect_err("no UTF-8").to_string();
    assert!(error.contains("UTF-8"), "{error}");
}

#[test]
fn a_boundary_is_found_in_its_header() {
    for (sent, boundary) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        (
            "Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"",
            Some("a b:c"),
        ),
        (
            "multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxk",
            Some("----WebKitFormBoundary7MA4YWxk"),
        ),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"unended", None),
        ("multipart/mixed; boundary=abc", None),
        ("application/json", None),
    ] {
        assert_eq!(boundary_of(sent).as_deref(), boundary, "{sent}");
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    assert_eq!(boundary_of(&long), None);
}

proptest! {
    #[test]
    fn parts_do_not_depend_on_how_they_were_cut(
        texts in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), any::<u8>()], 0..80),
            0..5,
        ),
        step in 1_usize..90,
    ) {
        let mut body = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            body.extend(format!("--bXb\r\nContent-Disposition: form-data; name=\"n{index}\"\r\n\r\n").bytes());
            body.extend_from_slice(text);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--bXb--\r\n");
        let parts = parse(&body, "bXb", step).expect("a form");
        prop_assert_eq!(parts.len(), texts.len());
        for (index, (part, data)) in parts.iter().enumerate() {
            prop_assert_eq!(&part.name, &format!("n{index}"));
            prop_assert_eq!(data, &texts[index]);
        }
    }

    #[test]
    fn any_bytes_give_the_same_however_they_were_cut(
        body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), Just(b' '), any::<u8>()], 0..200),
        step in 1_usize..60,
    ) {
        let body = [b"--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n".as_slice(), &body].concat();
        prop_assert_eq!(parse(&body, "b", step), parse(&body, "b", body.len()));
    }
}

/// Both once depended on where the network had cut the body.
#[test]
fn an_empty_head_and_too_much_padding_are_the_same_however_they_are_cut() {
    let head = "Content-Disposition: form-data; name=\"a\"";
    let padded = |spaces: usize| {
        let padding = " ".repeat(spaces);
        format!("--b\r\n{head}\r\n\r\nx\r\n--b{padding}\r\n{head}\r\n\r\ny\r\n--b--")
    };
    for step in [1, 3, 4_096] {
        for body in ["--b\r\n\r\nx\r\n--b--", "--b\r\n\r\n\r\n"] {
            let error = parse(body.as_bytes(), "b", step).unwrap_err();
            let expected = MultipartError::Head("it has no Content-Disposition");
            assert_eq!(error, expected, "{step}");
        }
        let parts = |spaces| parse(padded(spaces).as_bytes(), "b", step).map(|parts| parts.len());
        assert_eq!(parts(64), Ok(2));
        assert_eq!(parts(65), Ok(1), "it is no boundary, but data");
    }
}
