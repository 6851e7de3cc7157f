//! The form that the set-up page sends, `application/x-www-form-urlencoded`.

/// What a person filled in, not checked yet.
#[derive(Default)]
pub struct Form {
    pub token: String,
    pub network: String,
    /// Typed by hand; wins over the choice.
    pub other: String,
    pub password: String,
    pub proof: String,
    pub language: String,
}

impl Form {
    /// `None` when it is no such form. Pure; takes any bytes.
    pub fn read(body: &[u8]) -> Option<Form> {
        let mut form = Form::default();
        for pair in body.split(|byte| *byte == b'&') {
            let cut = pair.iter().position(|byte| *byte == b'=')?;
            let value = decoded(&pair[cut + 1..])?;
            let place = match &pair[..cut] {
                b"token" => &mut form.token,
                b"network" => &mut form.network,
                b"other" => &mut form.other,
                b"password" => &mut form.password,
                b"proof" => &mut form.proof,
                b"lang" => &mut form.language,
                _ => return None,
            };
            *place = value;
        }
        Some(form)
    }

    pub fn ssid(&self) -> &str {
        match self.other.trim() {
            "" => &self.network,
            other => other,
        }
    }
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &after[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = Form::read(
            b"token=t&lang=zh&network=Home&other=+%E5%AE%B6+&password=a%26b%2B%3D%25&proof=1234",
        );
        let form = form.unwrap();
        assert_eq!(form.ssid(), "家");
        assert_eq!(form.password, "a&b+=%");
        assert_eq!(
            (form.proof.as_str(), form.language.as_str()),
            ("1234", "zh")
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in [
            &b""[..],
            b"a",
            b"x=1",
            b"token=%4",
            b"token=%+1",
            b"token=%ff",
            b"token",
        ] {
            assert!(Form::read(body).is_none(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_through(text in "\\PC{0,40}") {
            let written: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let form = Form::read(format!("password={written}").as_bytes()).unwrap();
            prop_assert_eq!(form.password, text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::read(&body);
        }
    }
}
