//! A body that a thread writes while it is sent: no larger in memory than a few pieces.

use std::io::{self, Write};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 32 * 1024;
const PIECES_AHEAD: usize = 4;

/// The end that is sent.
pub struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

/// The end for a thread: its writes wait for the client, and fail once the client has gone.
/// Dropped without [`PieceWriter::finish`] the answer breaks off, which the client can tell.
pub struct PieceWriter {
    ready: BytesMut,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    finished: bool,
}

impl Pieces {
    pub fn new() -> (PieceWriter, Pieces) {
        let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
        let writer = PieceWriter {
            ready: BytesMut::with_capacity(PIECE_BYTES),
            pieces,
            finished: false,
        };
        (writer, Pieces(receiver))
    }

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_recv(cx)
    }
}

impl PieceWriter {
    /// For the loop: hands on a piece; fails once the client has gone.
    pub async fn send(&self, piece: Bytes) -> io::Result<()> {
        let sent = self.pieces.send(Ok(piece)).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.finished = true;
        Ok(())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ready.extend_from_slice(bytes);
        if self.ready.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let piece = self.ready.split().freeze();
        self.pieces
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for PieceWriter {
    fn drop(&mut self) {
        if !self.finished {
            let broken = io::Error::other("the answer could not be written to its end");
            let _ = self.pieces.try_send(Err(broken));
        }
    }
}
