//! Whole files to and from the box, piece by piece: what is downloaded goes straight to its file,
//! what is uploaded is never held.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Client;

/// Answers to an upload are short.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// A slow card takes its time before the first byte of a large file, and after the last.
const WORK_MAX: Duration = Duration::from_secs(3_600);
/// Between two looks of a person at how far it is.
const TOLD_AGAIN: Duration = Duration::from_millis(500);

impl Client {
    /// The answer's body into `out`; its length.
    pub fn download(&self, path: &str, out: &mut dyn Write) -> Result<u64, String> {
        let told = |error: io::Error| format!("the box broke off: {error}");
        let mut stream = self.open("GET", path, None).map_err(told)?;
        stream.set_read_timeout(Some(WORK_MAX)).map_err(told)?;
        stream.write_all(b"\r\n").map_err(told)?;
        let answer = Answer::read(stream).map_err(told)?;
        if answer.status != 200 {
            return Err(answer.refusal());
        }
        io::copy(&mut Progress::of(answer.body, None), out).map_err(told)
    }

    /// Sends a file; the `data` of the answer.
    pub fn upload(&self, path: &str, file: &mut File) -> Result<Value, String> {
        let told = |error: io::Error| format!("the file could not be sent: {error}");
        let length = file.metadata().map_err(told)?.len();
        let mut stream = self.open("POST", path, Some(length)).map_err(told)?;
        stream.set_read_timeout(Some(WORK_MAX)).map_err(told)?;
        stream.write_all(b"\r\n").map_err(told)?;
        // A box that refuses answers before all is sent, and its answer says why.
        let sent = io::copy(
            &mut Progress::of(file.take(length), Some(length)),
            &mut stream,
        );
        let answer = Answer::read(stream).map_err(|error| match sent {
            Err(error) => told(error),
            Ok(_) => told(error),
        })?;
        match answer.status {
            200..=202 => Ok(answer.json()["data"].clone()),
            _ => Err(answer.refusal()),
        }
    }
}

/// Tells a person at a terminal how far a file is.
struct Progress<R> {
    from: R,
    of: Option<u64>,
    done: u64,
    told: Option<Instant>,
    is_watched: bool,
}

impl<R: Read> Progress<R> {
    fn of(from: R, of: Option<u64>) -> Progress<R> {
        Progress {
            from,
            of,
            done: 0,
            told: None,
            is_watched: io::stderr().is_terminal(),
        }
    }

    fn tell(&mut self) {
        let is_soon = self.told.is_some_and(|at| at.elapsed() < TOLD_AGAIN);
        if !self.is_watched || is_soon {
            return;
        }
        self.told = Some(Instant::now());
        let done = self.done as f64 / 1e6;
        match self.of {
            Some(of) => eprint!("\r{done:.1} of {:.1} MB ", of as f64 / 1e6),
            None => eprint!("\r{done:.1} MB "),
        }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.done += read as u64;
        self.tell();
        Ok(read)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.told.is_some() {
            eprint!("\r                              \r");
        }
    }
}

struct Answer {
    status: u16,
    body: Box<dyn Read>,
}

impl Answer {
    fn read(stream: TcpStream) -> io::Result<Answer> {
        let mut from = BufReader::new(stream);
        let status = line(&mut from)?;
        let status = status.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no HTTP answer"))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let header = line(&mut from)?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            match header.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse::<u64>().ok(),
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                _ => {}
            }
        }
        let body: Box<dyn Read> = match (chunked, length) {
            (true, _) => Box::new(Chunked { from, left: 0 }),
            (false, length) => Box::new(from.take(length.unwrap_or(u64::MAX))),
        };
        Ok(Answer { status, body })
    }

    fn json(self) -> Value {
        let mut text = String::new();
        let read = self.body.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        match read {
            Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    fn refusal(self) -> String {
        let status = self.status;
        match self.json()["error"]["message"].as_str() {
            Some(message) => message.to_owned(),
            None => format!("the box answered {status}"),
        }
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.by_ref().take(8 * 1024).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A body in chunks (RFC 9112 section 7.1): one that ends without its last chunk is broken.
struct Chunked<R> {
    from: R,
    left: u64,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let size = line(&mut self.from)?;
            let size = match size.as_str() {
                // The end of the chunk before.
                "" => line(&mut self.from)?,
                _ => size,
            };
            let digits = size.split(';').next().unwrap_or("").trim();
            self.left = u64::from_str_radix(digits, 16)
                .map_err(|_| io::Error::other("a chunk has no size"))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = out
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.from.read(&mut out[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_a_missing_end_is_noticed() {
        let read = |text: &str| {
            let mut out = String::new();
            let mut body = Chunked {
                from: BufReader::new(text.as_bytes()),
                left: 0,
            };
            body.read_to_string(&mut out).map(|_| out)
        };
        assert_eq!(
            read("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap(),
            "abcde"
        );
        for broken in ["", "3\r\nab", "3\r\nabc\r\n", "x\r\nabc\r\n0\r\n\r\n"] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }
}
