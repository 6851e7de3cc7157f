//! The Debian package of this build: what is in it, as dpkg-deb reads it. `tools/test-deb` installs it in
//! a root of its own, on demand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{errors, out};
use crate::{ask, file, read};

/// Debian 12's.
const GLIBC_MINOR_MAX: u32 = 36;

/// Nobody has to be root for it; `None` where there is no dpkg.
fn built(folder: &Path) -> Option<PathBuf> {
    let (_, arch) = ask(Command::new("dpkg").arg("--print-architecture"))?;
    let made = Command::new(file("tools/deb"))
        .arg(env!("CARGO_BIN_EXE_magpie"))
        .args([arch.trim()])
        .arg(folder)
        .env("DEB_COMPRESSION", "none")
        .env("SOURCE_DATE_EPOCH", "1795000000")
        // A setting of whoever builds is not to be in the papers.
        .env("PORT", "nonsense")
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{}", errors(&made));
    Some(PathBuf::from(out(&made).trim()))
}

fn dpkg_deb(arguments: &[&str], package: &Path, rest: &[&Path]) -> String {
    let mut tool = Command::new("dpkg-deb");
    let (content, said) = ask(tool.args(arguments).arg(package).args(rest)).expect("dpkg-deb");
    assert!(content, "{said}");
    said
}

#[test]
fn the_package_holds_what_a_system_needs_and_no_file_is_anybodys_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let Some(package) = built(folder.path()) else {
        return;
    };
    let list = dpkg_deb(&["-c"], &package, &[]);
    let modes: Vec<(&str, &str)> = list
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(owner, "root/root", "{line}");
            (words.nth(3).unwrap(), mode)
        })
        .collect();
    for (name, mode) in [
        ("./", "drwxr-xr-x"),
        ("./usr/bin/magpie", "-rwxr-xr-x"),
        ("./usr/sbin/magpiectl", "-rwxr-xr-x"),
        ("./etc/magpie/magpie.env", "-rw-r-----"),
        ("./usr/lib/systemd/system/magpie.service", "-rw-r--r--"),
        (
            "./usr/lib/systemd/system/magpie.service.d/debian.conf",
            "-rw-r--r--",
        ),
        ("./usr/lib/systemd/system/magpie.socket", "-rw-r--r--"),
        (
            "./usr/lib/systemd/system/magpie-backup.service",
            "-rw-r--r--",
        ),
        (
            "./usr/lib/systemd/system/magpie-backup.service.d/debian.conf",
            "-rw-r--r--",
        ),
        ("./usr/lib/systemd/system/magpie-backup.timer", "-rw-r--r--"),
        ("./usr/lib/sysusers.d/magpie.conf", "-rw-r--r--"),
        ("./usr/lib/tmpfiles.d/magpie.conf", "-rw-r--r--"),
        ("./usr/share/man/man1/magpie.1.gz", "-rw-r--r--"),
        ("./usr/share/man/man8/magpiectl.8.gz", "-rw-r--r--"),
        (
            "./usr/share/bash-completion/completions/magpie",
            "-rw-r--r--",
        ),
        ("./usr/share/zsh/vendor-completions/_magpie", "-rw-r--r--"),
        (
            "./usr/share/fish/vendor_completions.d/magpie.fish",
            "-rw-r--r--",
        ),
        ("./usr/share/doc/magpie/copyright", "-rw-r--r--"),
        ("./usr/share/doc/magpie/README.md.gz", "-rw-r--r--"),
    ] {
        assert!(modes.contains(&(name, mode)), "{name} {mode}\n{list}");
    }
    let root = folder.path().join("root");
    dpkg_deb(&["-x"], &package, &[&root]);
    let installed = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    for unit in ["magpie.service", "magpie.socket", "magpie-backup.timer"] {
        let name = format!("usr/lib/systemd/system/{unit}");
        assert_eq!(installed(&name), read(&format!("systemd/{unit}")));
    }
    assert!(installed("usr/share/doc/magpie/examples/magpie.env").contains("#BACKUP_COPY_DIR="));
    assert!(installed("usr/share/bash-completion/completions/magpie").contains("backup"));
    // Everything in the settings file is a comment until somebody changes it.
    let settings = installed("etc/magpie/magpie.env");
    assert!(
        settings
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
}

#[test]
fn its_control_files_say_what_is_true_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let Some(package) = built(folder.path()) else {
        return;
    };
    let (control, root) = (folder.path().join("control"), folder.path().join("root"));
    dpkg_deb(&["-e"], &package, &[&control]);
    dpkg_deb(&["-x"], &package, &[&root]);
    let field = |name: &str| {
        dpkg_deb(&["-f"], &package, &[Path::new(name)])
            .trim()
            .to_owned()
    };
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    let depends = field("Depends");
    let libc = depends
        .split("libc6 (>= 2.")
        .nth(1)
        .expect("libc6 with a version");
    let minor: u32 = libc.split(')').next().unwrap().parse().unwrap();
    assert!((17..=GLIBC_MINOR_MAX).contains(&minor), "{depends}");
    assert_eq!(
        depends.contains("libasound2"),
        cfg!(feature = "audio"),
        "{depends}"
    );

    let sums = Command::new("md5sum")
        .args(["--check", "--quiet"])
        .arg(control.join("md5sums"))
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(sums.status.success(), "{}{}", out(&sums), errors(&sums));
    let conffiles = fs::read_to_string(control.join("conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/magpie/magpie.env\n");
    for script in ["postinst", "prerm", "postrm"] {
        let (reads, said) = ask(Command::new("sh").arg("-n").arg(control.join(script))).unwrap();
        assert!(reads, "{script}: {said}");
        let text = fs::read_to_string(control.join(script)).unwrap();
        assert!(text.starts_with("#!/bin/sh\nset -e\n"), "{script}");
    }
}
