//! From the tables to a zip, on a thread.
//!
//! First the rows go to a file that has no name, in one transaction and at the card's speed: a
//! reader keeps the database's log from being emptied. Then the zip goes out at the client's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Map, Value};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{ATTACHMENTS, FILES, FORMAT, MANIFEST, Manifest, ROWS, VERSION};
use crate::clock::UnixMillis;
use crate::happy::db::accounts;
use crate::happy::db::archive::{self, TABLES};
use crate::happy::files::Files;
use crate::limits;
use crate::ops::disk;
use crate::store::{Store, StoreError, migrate};

/// What is to be written, and from where.
pub struct Export {
    pub account: String,
    pub database: PathBuf,
    pub data_dir: PathBuf,
    pub now: UnixMillis,
}

/// The rows of one moment.
pub struct Snapshot {
    rows: File,
    /// Of attachments, some of which may go before their files are read.
    attachments: File,
    counts: BTreeMap<String, usize>,
}

impl Export {
    /// `None`: there is no such account. [`StoreError::Constraint`]: it is too large.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let db = Store::read_only(&self.database)?;
        let moment = db.unchecked_transaction()?;
        if !archive::is_there(&moment, &self.account)? {
            return Ok(None);
        }
        let bytes = u64::try_from(accounts::stored(&moment, &self.account)?).unwrap_or(0);
        let free = disk::free(&self.data_dir);
        if free.is_some_and(|free| free < bytes.saturating_add(limits::DISK_FREE_BYTES_MIN)) {
            return Err(StoreError::Full);
        }
        let sessions = archive::sessions(&moment, &self.account)?;
        let (mut rows, mut attachments) = (self.spool()?, self.spool()?);
        let mut counts = BTreeMap::new();
        for table in TABLES {
            let is_attachment = table.word == archive::ATTACHMENTS.word;
            let out = match is_attachment {
                true => &mut attachments,
                false => &mut rows,
            };
            let mut count = 0;
            archive::each(&moment, table, &self.account, &sessions, &mut |row| {
                count += 1;
                line(out, &row).map_err(not_written)
            })?;
            if count > table.most {
                let what = format!("The account has more of {} than go along.", table.word);
                return Err(StoreError::Constraint(what));
            }
            counts.insert(table.word.to_owned(), count);
        }
        Ok(Some(Snapshot {
            rows: rewound(rows).map_err(not_written)?,
            attachments: rewound(attachments).map_err(not_written)?,
            counts,
        }))
    }

    /// Without a name, so that nothing is left of it whatever happens.
    fn spool(&self) -> Result<BufWriter<File>, StoreError> {
        let folder = self.data_dir.join("uploads");
        let name = format!("{:016x}", getrandom::u64().unwrap_or_default());
        let made = || {
            fs::create_dir_all(&folder)?;
            let path = folder.join(name);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            fs::remove_file(path)?;
            Ok(BufWriter::new(file))
        };
        made().map_err(not_written)
    }

    /// Ends early when the client has gone.
    pub fn write(&self, snapshot: Snapshot, out: &mut dyn Write) -> io::Result<()> {
        let mut zip = ZipWriter::new_stream(out);
        let packed = options(CompressionMethod::Deflated);
        zip.start_file(ROWS, packed)?;
        io::copy(&mut BufReader::new(snapshot.rows), &mut zip)?;
        let files = Files::new(&self.data_dir);
        let mut gone_along = self.spool().map_err(io::Error::other)?;
        let mut count = 0;
        for text in BufReader::new(snapshot.attachments).lines() {
            let row: Map<String, Value> = serde_json::from_str(&text?)?;
            let text_of = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("");
            let (session, name) = (text_of("session_id"), text_of("name"));
            let file = match File::open(files.attachment(session, name).path()) {
                // It was deleted meanwhile, or is of a backup of before attachments were in them.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            // Ciphertext, which no packing makes smaller.
            let plain = options(CompressionMethod::Stored);
            zip.start_file(format!("{FILES}{session}/{name}"), plain)?;
            io::copy(&mut BufReader::new(file), &mut zip)?;
            line(&mut gone_along, &row)?;
            count += 1;
        }
        zip.start_file(ATTACHMENTS, packed)?;
        io::copy(&mut rewound(gone_along)?, &mut zip)?;
        let mut counts = snapshot.counts;
        counts.insert(archive::ATTACHMENTS.word.to_owned(), count);
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: migrate::STEPS.len(),
            made_at: self.now.rfc3339(),
            account: self.account.clone(),
            counts,
        };
        zip.start_file(MANIFEST, packed)?;
        serde_json::to_writer_pretty(&mut zip, &manifest)?;
        zip.finish()?;
        Ok(())
    }
}

fn options(method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(method)
        .large_file(true)
}

fn line(out: &mut impl Write, row: &Map<String, Value>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}

fn rewound(spool: BufWriter<File>) -> io::Result<File> {
    let mut file = spool.into_inner().map_err(|error| error.into_error())?;
    file.rewind()?;
    Ok(file)
}

fn not_written(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Io(error.to_string()),
    }
}
