//! Container files, as far as they can be looked at without an engine: they fit the program, and each other.

use std::collections::BTreeSet;
use std::process::Command;

use magpie::config::table;
use serde_json::Value;

use crate::support::errors;
use crate::{file, read};

/// All documents of a YAML file; `None` where the tests of pages are left out.
fn documents(name: &str) -> Option<Vec<Value>> {
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return None;
    }
    let folder = file("tests/packaging/npm");
    assert!(
        folder.join("node_modules/yaml").exists(),
        "run `npm ci` in tests/packaging/npm first, or set MAGPIE_SKIP_PAGES=1"
    );
    let ran = Command::new("node")
        .current_dir(&folder)
        .arg("yaml.mjs")
        .arg(file(name))
        .output()
        .expect("node is installed");
    assert!(ran.status.success(), "{name}: {}", errors(&ran));
    Some(serde_json::from_slice(&ran.stdout).expect("a list"))
}

fn texts(list: &Value) -> Vec<&str> {
    let parts = list.as_array().into_iter().flatten();
    parts.filter_map(Value::as_str).collect()
}

/// Instructions of the Dockerfile, lines joined, comments left out.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let parts = joined.lines().filter_map(|line| line.split_once(' '));
    parts
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn of<'a>(all: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    let found = all.iter().filter(|(known, _)| known == word);
    found.map(|(_, rest)| rest.as_str()).collect()
}

#[test]
fn the_image_runs_the_program_as_nobody_special_and_asks_it_how_it_is() {
    let all = instructions();
    assert_eq!(of(&all, "FROM").len(), 2);
    assert_eq!(of(&all, "USER"), ["10001:10001"]);
    assert_eq!(of(&all, "VOLUME"), ["/data"]);
    assert_eq!(of(&all, "WORKDIR").last(), Some(&"/data"));
    assert_eq!(of(&all, "ENTRYPOINT"), [r#"["magpie"]"#]);
    assert_eq!(of(&all, "CMD"), [r#"["serve"]"#]);
    assert!(of(&all, "HEALTHCHECK")[0].ends_with(r#"CMD ["magpie", "--healthcheck"]"#));
    let port = |name: &str| table::find(name).unwrap().default;
    let ports = format!("{} {}", port("PORT"), port("HTTPS_PORT"));
    assert_eq!(of(&all, "EXPOSE"), [ports.as_str()]);
    for set in of(&all, "ENV") {
        let name = set.split('=').next().unwrap();
        assert!(table::find(name).is_some(), "{name} is no setting");
    }
    for command in of(&all, "RUN") {
        let read = Command::new("sh")
            .args(["-n", "-c", command])
            .output()
            .unwrap();
        assert!(read.status.success(), "{command}: {}", errors(&read));
    }
}

#[test]
fn what_the_build_needs_reaches_it_and_settings_and_data_never_do() {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let kept: BTreeSet<&str> = lines
        .map(|line| line.strip_prefix('!').expect("an exception"))
        .collect();
    assert!(kept.iter().all(|name| file(name).exists()), "{kept:?}");
    // Whatever the manifest or the sources name outside of their own folder.
    let manifest = read("Cargo.toml");
    for needed in ["Cargo.toml", "Cargo.lock", "README.md", "src", "web"] {
        assert!(kept.contains(needed), "{needed}");
    }
    assert_eq!(kept.contains("benches"), manifest.contains("[[bench]]"));
    assert!(
        !manifest.contains("build ="),
        "a build script needs its own place"
    );
    assert!(
        !kept
            .iter()
            .any(|name| name.starts_with('.') || name.contains("data"))
    );
}

#[test]
fn the_compose_file_closes_what_it_can_and_believes_nginx_alone() {
    let Some(documents) = documents("docker-compose.yml") else {
        return;
    };
    let services = &documents[0]["services"];
    let (magpie, nginx) = (&services["magpie"], &services["nginx"]);
    assert_eq!(magpie["read_only"], true);
    assert_eq!(texts(&magpie["cap_drop"]), ["ALL"]);
    assert_eq!(texts(&magpie["security_opt"]), ["no-new-privileges:true"]);
    assert_eq!(texts(&magpie["volumes"]), ["data:/data"]);
    assert!(magpie["privileged"].is_null() && magpie["network_mode"].is_null());
    for name in magpie["environment"].as_object().expect("settings").keys() {
        assert!(table::find(name).is_some(), "{name} is no setting");
    }
    assert_eq!(
        texts(&nginx["profiles"]),
        ["nginx"],
        "not unless it is asked for"
    );
    let address = &nginx["networks"]["front"]["ipv4_address"];
    assert_eq!(&magpie["environment"]["TRUST_PROXY"], address);
    // What its command puts in the place of is what stands in the file.
    let (conf, command) = (
        read("deploy/nginx.conf"),
        texts(&nginx["command"])[2].to_owned(),
    );
    for place in ["127.0.0.1:8080", "magpie.example.org", "/etc/ssl/"] {
        assert!(
            conf.contains(place) && command.replace("\\.", ".").contains(place),
            "{place}"
        );
    }
}

#[test]
fn in_a_cluster_there_is_one_box_with_its_volume_and_probes_that_it_answers() {
    let Some(documents) = documents("deploy/kubernetes.yaml") else {
        return;
    };
    let of_kind = |kind: &str| {
        documents
            .iter()
            .find(|one| one["kind"] == kind)
            .expect("one of it")
    };
    let spec = &of_kind("Deployment")["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["strategy"]["type"], "Recreate");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let user = pod["securityContext"]["runAsUser"].to_string();
    assert!(read("Dockerfile").contains(&format!("USER {user}:{user}\n")));
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["securityContext"]["allowPrivilegeEscalation"],
        false
    );
    let mut ops = None;
    for set in container["env"].as_array().expect("settings") {
        let setting = table::find(set["name"].as_str().unwrap()).expect("a setting");
        let value = set["value"].as_str().expect("a text");
        assert!(
            setting.kind.parse(value).is_some(),
            "{}={value}",
            setting.name
        );
        if setting.name == "OPS_LISTEN" {
            ops = value
                .rsplit(':')
                .next()
                .and_then(|port| port.parse::<u64>().ok());
        }
    }
    let ports = container["ports"].as_array().expect("ports");
    let port_of = |name: &str| {
        let found = ports.iter().find(|port| port["name"] == name);
        found.and_then(|port| port["containerPort"].as_u64())
    };
    assert_eq!(port_of("ops"), ops);
    assert_eq!(
        port_of("http").map(|port| port.to_string()).as_deref(),
        Some(table::find("PORT").unwrap().default)
    );
    for (probe, path) in [
        ("startupProbe", "/ready"),
        ("readinessProbe", "/ready"),
        ("livenessProbe", "/live"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "ops");
    }
    let claim = &of_kind("PersistentVolumeClaim")["metadata"]["name"];
    let mounted = pod["volumes"].as_array().expect("volumes");
    assert!(
        mounted
            .iter()
            .any(|one| &one["persistentVolumeClaim"]["claimName"] == claim)
    );
    assert_eq!(
        texts(&of_kind("PersistentVolumeClaim")["spec"]["accessModes"]),
        ["ReadWriteOnce"]
    );
    assert_eq!(of_kind("Service")["spec"]["ports"][0]["targetPort"], "http");
    assert_eq!(
        of_kind("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"],
        "http"
    );
}
