//! The name server of the box's own Wi-Fi: every name is the box.
//!
//! Phones ask for a name of their maker to see whether there is an internet; that leads them to
//! the page. One question a packet, answered or dropped; an answer is hardly longer than its
//! question, so that nobody can be flooded through it.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::limits;

const HEADER: usize = 12;
const ADDRESS: u16 = 1;
const INTERNET: u16 = 1;

/// Answers until it is dropped.
pub struct Names {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub fn start(socket: UdpSocket, address: Ipv4Addr) -> io::Result<Names> {
        socket.set_read_timeout(Some(Duration::from_millis(250)))?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = Builder::new()
            .name("names".into())
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || serve(&socket, address, &stopped))?;
        Ok(Names {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, address: Ipv4Addr, stop: &AtomicBool) {
    let mut packet = [0; limits::SET_UP_QUESTION_BYTES_MAX];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut packet) {
            Ok((length, from)) => {
                if let Some(answer) = answer(&packet[..length], address) {
                    // Who does not hear it asks again.
                    let _ = socket.send_to(&answer, from);
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) => {}
            // The radio may go and come.
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}

/// RFC 1035: the question again, and for an IPv4 address ours. Pure; takes any bytes.
pub fn answer(packet: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let (header, rest) = packet.split_first_chunk::<HEADER>()?;
    let is_query = header[2] & 0b1111_1000 == 0;
    if !is_query || header[4..6] != [0, 1] {
        return None;
    }
    let question = &rest[..question_length(rest)?];
    let [.., kind_high, kind_low, class_high, class_low] = *question else {
        return None;
    };
    let is_ours = u16::from_be_bytes([kind_high, kind_low]) == ADDRESS
        && u16::from_be_bytes([class_high, class_low]) == INTERNET;
    let mut answer = Vec::with_capacity(HEADER + question.len() + 16);
    answer.extend(&header[..2]);
    // An answer of whom the name belongs to; recursion as it was asked for.
    answer.extend([0b1000_0100 | (header[2] & 1), 0]);
    answer.extend([0, 1, 0, u8::from(is_ours), 0, 0, 0, 0]);
    answer.extend(question);
    if is_ours {
        // The name of the question; it is forgotten at once, since it is true only here.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// A name of labels, its end, and four bytes; no pointers, which a question has no use for.
fn question_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
        if at > 254 {
            return None;
        }
    }
    let length = at + 5;
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOX: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    fn question(kind: u8) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        packet.extend(b"\x07captive\x05apple\x03com\0\0");
        packet.extend([kind, 0, 1]);
        // What follows the question (EDNS) is not looked at.
        packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        packet
    }

    #[test]
    fn every_name_is_the_box() {
        let answer = answer(&question(1), BOX).unwrap();
        assert_eq!(answer[..2], [0x12, 0x34]);
        assert_eq!(answer[2..8], [0x85, 0, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 4..], [10, 77, 0, 1]);
    }

    #[test]
    fn there_is_no_other_kind_of_address() {
        let answer = answer(&question(28), BOX).unwrap();
        assert_eq!(answer[2..8], [0x85, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let mut reply = question(1);
        reply[2] |= 0x80;
        let mut two = question(1);
        two[5] = 2;
        let mut pointer = question(1);
        pointer[12] = 0xc0;
        for packet in [&reply[..], &two, &pointer, &question(1)[..20], b""] {
            assert_eq!(answer(packet, BOX), None);
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_answered_briefly_or_dropped(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(answer) = answer(&packet, BOX) {
                prop_assert!(answer.len() <= packet.len() + 16);
            }
        }
    }
}
