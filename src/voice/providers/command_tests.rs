//! Quoting, killing and cleaning up after programs, on real ones.

use super::*;
use proptest::prelude::*;

fn words(text: &str) -> Vec<String> {
    Template::parse(text).expect(text).0
}

#[test]
fn a_command_is_split_as_its_quotes_say() {
    let table: [(&str, &[&str]); 6] = [
        ("flite -f {text_file}", &["flite", "-f", "{text_file}"]),
        (
            r#"say "two words" 'a "b" \c'"#,
            &["say", "two words", r#"a "b" \c"#],
        ),
        (r#"say a\ b "q\"q" ''"#, &["say", "a b", "q\"q", ""]),
        ("say   $HOME ; rm *", &["say", "$HOME", ";", "rm", "*"]),
        ("x --l={language}x{}", &["x", "--l={language}x{}"]),
        ("'my prog'a", &["my proga"]),
    ];
    for (text, expected) in table {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn a_wrong_command_says_what_is_wrong() {
    for (text, expected) in [
        ("", "empty"),
        ("  ", "empty"),
        ("'' x", "empty"),
        ("say 'x", "never closed"),
        ("say x\\", "backslash"),
        ("say {text}", "{text} is not known"),
        ("say \0", "NUL"),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_value_never_becomes_a_second_word_or_a_placeholder() {
    let template = Template::parse("say --x={voice} {language}").expect("parses");
    let argv = template.fill(&[("voice", "a b {language}"), ("language", "'en'; x")]);
    assert_eq!(argv, ["say", "--x=a b {language}", "'en'; x"]);
}

proptest! {
    #[test]
    fn any_text_is_split_or_refused(text in ".{0,60}") {
        let _ = Template::parse(&text);
    }

    #[test]
    fn quoted_words_come_back(words in prop::collection::vec("[^'\0{}]{1,8}", 1..6)) {
        let line = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" ");
        prop_assert_eq!(Template::parse(&line).map(|t| t.0), Ok(words));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_program_gets_its_input_and_gives_its_output() {
    let output = block_on(run(&argv(&["cat"]), b"through the pipe", LONG));
    assert_eq!(output, Ok(b"through the pipe".to_vec()));
}

#[test]
fn a_large_input_and_output_do_not_block_each_other() {
    let input = vec![7; 3_000_000];
    assert_eq!(block_on(run(&argv(&["cat"]), &input, LONG)), Ok(input));
}

#[test]
fn a_failing_program_is_told_with_its_last_words() {
    let script = "echo first >&2; echo 'no model here' >&2; exit 3";
    let error = block_on(run(&argv(&["sh", "-c", script]), b"", LONG)).expect_err("fails");
    let text = error.to_string();
    assert!(
        text.contains("no model here") && text.contains('3'),
        "{text}"
    );
    let error = block_on(run(&argv(&["/nonexistent/engine"]), b"", LONG)).expect_err("fails");
    assert!(error.to_string().contains("installed"), "{error}");
}

#[test]
fn endless_output_is_cut_off_and_its_writer_killed() {
    let error = block_on(run(&argv(&["yes"]), b"", LONG)).expect_err("too much");
    assert!(error.to_string().contains("10 MB"), "{error}");
}

/// Whether any process of the group is alive.
fn group_lives(group: i32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    entries.flatten().any(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            return false;
        };
        let fields: Vec<&str> = rest.split(' ').collect();
        fields[0] != "Z" && fields[2] == group.to_string()
    })
}

fn await_group_gone(group: i32) {
    let since = std::time::Instant::now();
    while group_lives(group) {
        assert!(since.elapsed() < LONG, "group {group} lives on");
        std::thread::yield_now();
    }
}

/// A script that notes its group and leaves a grandchild holding the pipe.
fn stubborn(folder: &Path) -> (Vec<String>, PathBuf) {
    let note = folder.join("pid");
    let script = format!(
        "trap '' TERM; echo $$ > {0}.tmp; mv {0}.tmp {0}; sleep 300 & sleep 300",
        note.display()
    );
    (argv(&["sh", "-c", &script]), note)
}

#[test]
fn a_program_over_its_time_is_killed_with_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let (command, note) = stubborn(folder.path());
    let limit = Duration::from_millis(600);
    let result = block_on(run(&command, b"", limit));
    assert_eq!(result, Err(EngineError::Timeout(limit)));
    let group = fs::read_to_string(note)
        .expect("it ran")
        .trim()
        .parse()
        .expect("a pid");
    await_group_gone(group);
}

#[test]
fn dropping_the_call_kills_the_program_and_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let (command, note) = stubborn(folder.path());
    let group = block_on(async {
        let call = run(&command, b"", LONG);
        tokio::pin!(call);
        loop {
            tokio::select! {
                ended = &mut call => panic!("ended by itself: {ended:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if let Ok(text) = fs::read_to_string(&note) {
                break text.trim().parse().expect("a pid");
            }
        }
    });
    await_group_gone(group);
}

#[test]
fn a_scratch_folder_is_private_and_goes_with_its_call() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("a folder");
    let scratch = Scratch::new(data.path()).expect("a scratch");
    let file = block_on(scratch.write("a.wav", b"sound")).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.0), 0o700);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(scratch.read("a.wav"), Ok(b"sound".to_vec()));
    let path = scratch.0.clone();
    drop(scratch);
    assert!(!path.exists());
    std::mem::forget(Scratch::new(data.path()).expect("a scratch"));
    Scratch::clear_stale(data.path());
    assert_eq!(
        fs::read_dir(data.path().join("tmp"))
            .expect("there")
            .count(),
        0
    );
}

#[test]
fn names_of_secrets_are_known() {
    assert!(is_secret("CLAUDE_API_KEY") && is_secret("gh_token"));
    assert!(!is_secret("PATH") && !is_secret("HOME"));
}
