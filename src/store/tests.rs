//! The store on a real file: batches, bounds, order, and what a start does with a bad file.

use std::fs;
use std::rc::Rc;

use tempfile::TempDir;
use tokio::task::LocalSet;

use super::*;
use crate::clock::UnixMillis;
use crate::limits::{STORE_QUEUE_BYTES_MAX, STORE_QUEUE_JOBS_MAX, STORE_RELAXED_JOBS_MAX};

fn options(folder: &TempDir) -> StoreOptions {
    StoreOptions {
        path: folder.path().join("box.db"),
        clock: Clock::manual(UnixMillis(1_790_000_000_000)),
        metrics: Registry::default(),
        durability: Durability::Full,
    }
}

/// Runs a test on a loop of its own with an open store.
fn with_store<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    let folder = TempDir::new().unwrap();
    on_loop(async {
        let store = Store::open(options(&folder)).unwrap();
        let made: Result<(), StoreError> = store
            .write(|db| Ok(db.execute_batch("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")?))
            .await;
        made.unwrap();
        test(store.clone()).await;
        store.close().await.unwrap();
    });
}

fn on_loop<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

async fn insert(store: &Store, key: i64) -> Result<(), StoreError> {
    store
        .write(move |db| {
            db.execute("INSERT INTO t (k, v) VALUES (?1, 'x')", [key])?;
            Ok(())
        })
        .await
}

fn count(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
}

#[test]
fn sqlite_is_new_enough_not_to_corrupt_a_log() {
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "{}",
        rusqlite::version()
    );
}

#[test]
fn a_write_is_there_for_all_readers_once_it_is_answered() {
    with_store(|store| async move {
        insert(&store, 7).await.unwrap();
        assert_eq!(store.read(count), Ok(1));
        assert_eq!(store.query(count).await, Ok(1));
    });
}

#[test]
fn one_jobs_failure_leaves_its_neighbours_in_the_batch_alone() {
    with_store(|store| async move {
        let jobs: Vec<_> = (0..100)
            .map(|n| {
                let store = store.clone();
                // Every tenth breaks the primary key, every seventeenth panics.
                tokio::task::spawn_local(async move {
                    store
                        .write(move |db| {
                            let key = if n % 10 == 9 { n - 1 } else { n };
                            db.execute("INSERT INTO t (k, v) VALUES (?1, 'x')", [key])?;
                            assert!(n % 17 != 16, "planted");
                            Ok::<_, StoreError>(n)
                        })
                        .await
                })
            })
            .collect();
        let mut kept = 0;
        for (n, job) in jobs.into_iter().enumerate() {
            match job.await.unwrap() {
                Ok(_) => kept += 1,
                Err(StoreError::Constraint(_)) => assert_eq!(n % 10, 9),
                Err(StoreError::Panicked) => assert_eq!(n % 17, 16),
                Err(other) => panic!("{n}: {other:?}"),
            }
        }
        assert!(kept >= 80, "{kept}");
        assert_eq!(store.read(count), Ok(kept));
    });
}

#[test]
fn a_full_queue_answers_busy_and_loses_nothing_it_took() {
    with_store(|store| async move {
        let many = STORE_QUEUE_JOBS_MAX + 500;
        let jobs: Vec<_> = (0..many as i64)
            .map(|n| {
                let store = store.clone();
                tokio::task::spawn_local(async move { insert(&store, n).await })
            })
            .collect();
        let mut taken = 0;
        let mut busy = 0;
        for job in jobs {
            match job.await.unwrap() {
                Ok(()) => taken += 1,
                Err(StoreError::Busy) => busy += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(taken + busy, many as i64);
        assert_eq!(store.read(count), Ok(taken));
    });
}

#[test]
fn a_job_larger_than_the_queue_goes_when_nothing_waits() {
    with_store(|store| async move {
        let write = |key: i64| {
            store.write_sized(STORE_QUEUE_BYTES_MAX + 1, move |db| {
                db.execute("INSERT INTO t (k, v) VALUES (?1, 'x')", [key])?;
                Ok(())
            })
        };
        assert_eq!(write(1).await, Ok(()));
        assert_eq!(write(2).await, Ok(()));
        let (first, second) = tokio::join!(write(3), write(4));
        assert_eq!((first, second), (Ok(()), Err(StoreError::Busy)));
    });
}

#[test]
fn a_relaxed_job_is_committed_without_a_durable_one() {
    with_store(|store| async move {
        store.relaxed(|db| {
            db.execute("INSERT INTO t VALUES (1, 'relaxed')", [])
                .map(drop)
        });
        assert_eq!(store.read(count), Ok(0), "it must not have cost a commit");
        for _ in 0..400 {
            if store.read(count) == Ok(1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the relaxed job was never committed");
    });
}

#[test]
fn a_relaxed_job_rides_along_with_a_durable_one() {
    with_store(|store| async move {
        store.relaxed(|db| {
            db.execute("INSERT INTO t VALUES (1, 'relaxed')", [])
                .map(drop)
        });
        insert(&store, 2).await.unwrap();
        assert_eq!(store.read(count), Ok(2));
    });
}

#[test]
fn relaxed_jobs_that_wait_for_company_are_bounded() {
    let folder = TempDir::new().unwrap();
    on_loop(async {
        let began = std::time::Instant::now();
        let options = options(&folder);
        let metrics = options.metrics.clone();
        let store = Store::open(options).unwrap();
        let ran = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let total = 4 * STORE_RELAXED_JOBS_MAX;
        for n in 0..total {
            let ran = ran.clone();
            store.relaxed(move |_| {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            if n % 256 == 0 {
                // The thread takes what waits in its queue meanwhile.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let in_time = began.elapsed() < crate::limits::STORE_RELAXED_WAIT;
        store.close().await.unwrap();
        let dropped = metrics
            .counter("store_relaxed_dropped_total", "", &[])
            .get() as usize;
        let ran = ran.load(Ordering::Relaxed);
        assert_eq!(ran + dropped, total);
        assert!(!in_time || ran <= STORE_RELAXED_JOBS_MAX, "{ran} waited");
    });
}

#[test]
fn a_batch_whose_transaction_was_lost_is_refused_whole_and_the_next_succeeds() {
    with_store(|store| async move {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (runs, running) = oneshot::channel::<()>();
        let spawn = |store: Store, sql: &'static str| {
            tokio::task::spawn_local(async move {
                store
                    .write(move |db| Ok::<_, StoreError>(db.execute_batch(sql)?))
                    .await
            })
        };
        let held = store.clone();
        let first = tokio::task::spawn_local(async move {
            held.write(move |_| {
                let _ = runs.send(());
                let _ = gate.recv();
                Ok::<_, StoreError>(())
            })
            .await
        });
        running.await.unwrap();
        // All of these wait behind the first and so make one batch.
        let lost = [
            spawn(store.clone(), "INSERT INTO t VALUES (1, 'x')"),
            spawn(store.clone(), "ROLLBACK"),
            spawn(store.clone(), "INSERT INTO t VALUES (2, 'x')"),
        ];
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        for job in lost {
            let answer = job.await.unwrap();
            assert!(answer.is_err(), "a job of a lost batch was acknowledged");
        }
        assert_eq!(store.read(count), Ok(0), "a refused job was kept");
        insert(&store, 3).await.unwrap();
        assert_eq!(store.read(count), Ok(1));
    });
}

#[test]
fn the_log_is_begun_anew_and_does_not_grow_from_checkpoint_to_checkpoint() {
    with_store(|store| async move {
        let wal = store.path().with_extension("db-wal");
        let mut longest = 0;
        for _ in 0..100 {
            let written: Result<(), StoreError> = store
                .write(|db| {
                    Ok(db
                        .execute("INSERT OR REPLACE INTO t VALUES (1, zeroblob(1000000))", [])
                        .map(drop)?)
                })
                .await;
            written.unwrap();
            longest = longest.max(fs::metadata(&wal).unwrap().len());
        }
        // As much as is always let through, one more batch, and the frames' heads.
        let bound = u64::from(crate::limits::WAL_CHECKPOINT_PAGES + 600) * (4096 + 24);
        assert!(longest < bound, "{longest} bytes");
    });
}

#[test]
fn a_query_cannot_write() {
    with_store(|store| async move {
        let tried: Result<(), StoreError> = store
            .query(|db| Ok(db.execute("INSERT INTO t VALUES (1, 'x')", []).map(drop)?))
            .await;
        assert_eq!(tried, Err(StoreError::ReadOnly));
    });
}

#[test]
fn a_dropped_query_is_stopped() {
    with_store(|store| async move {
        let endless = store.query(|db| {
            db.query_row(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
                [],
                |row| row.get::<_, i64>(0),
            )
            .map_err(StoreError::from)
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(30), endless)
                .await
                .is_err()
        );
        assert_eq!(
            store.query(count).await,
            Ok(0),
            "the thread must be free again"
        );
    });
}

#[test]
fn a_panic_in_a_query_costs_that_query_only() {
    with_store(|store| async move {
        let planted: Result<(), StoreError> = store.query(|_| panic!("planted")).await;
        assert_eq!(planted, Err(StoreError::Panicked));
        assert_eq!(store.query(count).await, Ok(0));
    });
}

#[test]
fn what_was_sent_before_the_close_is_committed() {
    let folder = TempDir::new().unwrap();
    on_loop(async {
        let store = Store::open(options(&folder)).unwrap();
        let made: Result<(), StoreError> = store
            .write(|db| Ok(db.execute_batch("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")?))
            .await;
        made.unwrap();
        let answered = Rc::new(std::cell::Cell::new(0));
        for key in 0..50 {
            let (store, answered) = (store.clone(), answered.clone());
            tokio::task::spawn_local(async move {
                insert(&store, key).await.unwrap();
                answered.set(answered.get() + 1);
            });
        }
        tokio::task::yield_now().await;
        store.close().await.unwrap();
        assert_eq!(insert(&store, 99).await, Err(StoreError::Closed));
    });
    on_loop(async {
        let store = Store::open(options(&folder)).unwrap();
        assert_eq!(store.read(count), Ok(50));
    });
}

#[test]
fn a_backup_opens_and_holds_what_was_committed() {
    let folder = TempDir::new().unwrap();
    with_store(|store| {
        let target = folder.path().join("copy.db");
        async move {
            insert(&store, 1).await.unwrap();
            store.backup(&target).await.unwrap();
            let names = fs::read_dir(target.parent().unwrap()).unwrap().flatten();
            let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
            assert_eq!(names, ["copy.db"], "more was left than the copy");
            let copy = Connection::open(&target).unwrap();
            assert_eq!(count(&copy), Ok(1));
        }
    });
}

#[test]
fn a_backup_removes_nothing_of_what_lies_beside_it() {
    let folder = TempDir::new().unwrap();
    let others: Vec<_> = (0..crate::limits::BACKUPS_KEPT + 5)
        .map(|n| folder.path().join(format!("mine-{n}.db")))
        .collect();
    for other in &others {
        fs::write(other, "mine").unwrap();
    }
    with_store(|store| {
        let target = folder.path().join("copy.db");
        async move { store.backup(&target).await.unwrap() }
    });
    assert!(others.iter().all(|other| other.exists()));
}

#[test]
fn a_damaged_database_is_kept_aside_and_a_backup_is_offered() {
    let folder = TempDir::new().unwrap();
    let path = options(&folder).path;
    on_loop(async {
        let store = Store::open(options(&folder)).unwrap();
        let copy = backup::folder(&path).join("good.db");
        store.backup(&copy).await.unwrap();
        store.close().await.unwrap();
    });
    let mut bytes = fs::read(&path).unwrap();
    bytes[..64].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    on_loop(async {
        let Err(OpenError::Corrupt { kept, backup, .. }) = Store::open(options(&folder)) else {
            panic!("a damaged file was opened");
        };
        assert_eq!(
            fs::read(&kept).unwrap(),
            bytes,
            "the damaged file was changed"
        );
        let good = backup.expect("no backup was offered");
        assert!(good.ends_with("good.db"));
        assert!(!path.exists());

        // A supervisor starts the box again at once: it must not begin empty by itself.
        fs::write(path.with_extension("db-wal"), "left by a power cut").unwrap();
        let again = Store::open(options(&folder)).err();
        assert!(
            matches!(&again, Some(OpenError::Corrupt { kept: same, .. }) if *same == kept),
            "{again:?}"
        );
        assert!(!path.exists() && !path.with_extension("db-wal").exists());
        fs::copy(good, &path).unwrap();
        Store::open(options(&folder))
            .unwrap()
            .close()
            .await
            .unwrap();
    });
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = options(&folder).path;
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 9_999).unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    on_loop(async {
        let refused = Store::open(options(&folder)).err().unwrap();
        assert!(
            matches!(refused, OpenError::Newer { found: 9_999, .. }),
            "{refused}"
        );
    });
    let after = Connection::open(&path).unwrap();
    assert_eq!(migrate::version(&after).unwrap(), 9_999);
    drop(after);
    assert!(before.len() <= fs::read(&path).unwrap().len());
}

#[test]
fn every_earlier_schema_is_brought_up_to_date_with_a_copy_kept() {
    for done in 1..migrate::STEPS.len() {
        let folder = TempDir::new().unwrap();
        let path = options(&folder).path;
        let mut old = Connection::open(&path).unwrap();
        migrate::run(&mut old, &migrate::STEPS[..done], UnixMillis(0)).unwrap();
        drop(old);
        on_loop(async {
            let store = Store::open(options(&folder)).unwrap();
            let version: Result<u32, StoreError> = store.read(|db| Ok(migrate::version(db)?));
            assert_eq!(version, Ok(migrate::STEPS.len() as u32));
        });
        let copy = backup::newest_good(&backup::folder(&path)).expect("no copy was kept");
        assert_eq!(
            migrate::version(&Connection::open(copy).unwrap()).unwrap(),
            done as u32
        );
    }
}

#[test]
fn a_step_that_was_changed_after_a_file_took_it_is_refused() {
    let mut db = Connection::open_in_memory().unwrap();
    let step = |sql| [migrate::Step { name: "one", sql }];
    migrate::run(&mut db, &step("CREATE TABLE a (x)"), UnixMillis(0)).unwrap();
    let same = migrate::run(&mut db, &step("CREATE TABLE a (x)"), UnixMillis(0));
    assert_eq!(same, Ok(vec![]));
    let changed = migrate::run(&mut db, &step("CREATE TABLE a (x, y)"), UnixMillis(0));
    assert!(matches!(
        changed,
        Err(OpenError::Migration { name: "one", .. })
    ));
}

#[test]
fn a_failing_migration_leaves_the_file_as_it_was() {
    let mut db = Connection::open_in_memory().unwrap();
    let steps = [
        migrate::Step {
            name: "one",
            sql: "CREATE TABLE a (x)",
        },
        migrate::Step {
            name: "two",
            sql: "CREATE TABLE b (x); SELECT nonsense",
        },
    ];
    assert!(migrate::run(&mut db, &steps, UnixMillis(0)).is_err());
    assert_eq!(migrate::version(&db).unwrap(), 1);
    assert!(db.prepare("SELECT * FROM b").is_err());
}

#[test]
fn closing_ends_a_query_that_runs_and_refuses_those_that_wait() {
    let folder = TempDir::new().unwrap();
    on_loop(async {
        let store = Store::open(options(&folder)).unwrap();
        let endless = {
            let store = store.clone();
            tokio::task::spawn_local(async move {
                let count: Result<i64, StoreError> = store
                    .query(|db| {
                        Ok(db.query_row(
                            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
                            [],
                            |row| row.get(0),
                        )?)
                    })
                    .await;
                count
            })
        };
        let waiting = {
            let store = store.clone();
            tokio::task::spawn_local(async move {
                let nothing: Result<(), StoreError> = store.query(|_| Ok(())).await;
                nothing
            })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::time::timeout(Duration::from_secs(5), store.close())
            .await
            .expect("the close waited for the queries")
            .unwrap();
        assert!(endless.await.unwrap().is_err());
        assert_eq!(waiting.await.unwrap(), Err(StoreError::Closed));
    });
}

#[test]
fn a_batch_that_hangs_shows_its_age_and_an_idle_store_shows_none() {
    with_store(|store| async move {
        let health = store.health();
        assert_eq!(health.batch_age(), None);
        let slow = {
            let store = store.clone();
            tokio::task::spawn_local(async move {
                let slept: Result<(), StoreError> = store
                    .write(|_| {
                        std::thread::sleep(Duration::from_millis(300));
                        Ok(())
                    })
                    .await;
                slept.unwrap();
            })
        };
        let mut oldest = Duration::ZERO;
        while !slow.is_finished() {
            oldest = oldest.max(health.batch_age().unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(oldest >= Duration::from_millis(100), "{oldest:?}");
        assert_eq!(health.batch_age(), None);
    });
}
