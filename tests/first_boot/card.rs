//! `magpie first-boot` and `magpie first-boot status` as the units call them.

use crate::radio::Machine;
use crate::support::{errors, out};

#[test]
fn a_start_takes_over_the_file_of_the_card_and_says_what_it_did() {
    let machine = Machine::new();
    machine.write(
        "boot/magpie/magpie.txt",
        "HOSTNAME=kitchen\r\nOPENAI_API_KEY=sk-secret\r\nVOLUME=loud\r\n",
    );
    machine.write("boot/magpie/magpie-status.txt", &" ".repeat(4_096));
    let done = machine.first_boot(&[]).output().unwrap();
    assert!(done.status.success(), "{}", errors(&done));
    let told = out(&done);
    assert!(told.contains("1 secrets of magpie.txt moved"), "{told}");
    assert!(
        told.contains("line 3: this is not possible for VOLUME"),
        "{told}"
    );
    assert!(
        !told.contains("sk-secret") && !told.contains("loud"),
        "{told}"
    );
    assert_eq!(machine.read("proc/sys/kernel/hostname"), "kitchen");
    assert!(
        machine
            .read("data/magpie/magpie.env")
            .contains("OPENAI_API_KEY=\"sk-secret\"")
    );
    assert!(!machine.read("boot/magpie/magpie.txt").contains("secret"));
    assert!(
        machine
            .read("boot/magpie/magpie-status.txt")
            .contains("第 3 行")
    );
}

#[test]
fn the_status_says_what_the_service_says() {
    let machine = Machine::new();
    machine.write("boot/magpie/magpie.txt", "");
    machine.first_boot(&[]).output().unwrap();
    let without = machine.first_boot(&["status"]).output().unwrap();
    assert!(without.status.success(), "{}", errors(&without));
    let status = || machine.read("boot/magpie/magpie-status.txt");
    assert!(
        status().contains("Health: the service does not answer"),
        "{}",
        status()
    );
    let running = machine.home.serve();
    machine.first_boot(&["status"]).output().unwrap();
    let health = running.get("/health").json();
    let expected = format!("Health: {}\n", health["status"].as_str().unwrap());
    assert!(status().contains(&expected), "{}", status());
    assert!(running.stop().success());
}
