//! Base64 from strangers, bare or as a URL: what is taken is what the strict alphabet says, and what
//! is heard is what its bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::decode::{Source, decode, read_base64};

fuzz_target!(|text: &str| {
    if let Ok(bytes) = read_base64(text.to_string()) {
        let letters = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '=').count();
        assert_eq!(bytes.len(), letters * 3 / 4);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let decoded = runtime.block_on(decode(Source::base64(text.to_string())));
    if let Ok(decoded) = decoded {
        let data = text.split_once(";base64,").filter(|_| text.starts_with("data:"));
        let data = data.map_or(text, |(_, data)| data);
        assert_eq!(read_base64(data.to_string()).as_deref(), Ok(&decoded.bytes[..]));
    }
});
