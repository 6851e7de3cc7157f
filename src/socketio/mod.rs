//! Engine.IO 4 and Socket.IO 5: so far their packets, read and written without I/O.
//!
//! It knows no event of any room. Text is the fast path; binary attachments stay apart from the
//! JSON that names them.

pub mod engine;
pub mod packet;
