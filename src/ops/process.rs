//! What the kernel says of this process, from `/proc/self`.

use std::fs;

/// Zero where the kernel says nothing.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Process {
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub resident_peak_bytes: u64,
    pub threads: u64,
    pub open_fds: u64,
    /// User and system time since the start.
    pub cpu_s: f64,
}

impl Process {
    pub fn read() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // SAFETY: asks for a number and touches no memory.
        let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
        Process {
            resident_bytes: kib(&status, "VmRSS:") * 1024,
            virtual_bytes: kib(&status, "VmSize:") * 1024,
            resident_peak_bytes: kib(&status, "VmHWM:") * 1024,
            threads: kib(&status, "Threads:"),
            // One entry is the descriptor that reads the folder.
            open_fds: fs::read_dir("/proc/self/fd")
                .map_or(0, |folder| (folder.count() as u64).saturating_sub(1)),
            cpu_s: ticks(&stat) as f64 / ticks_per_s,
        }
    }

    /// Memory alone: cheap enough for the loop, also with many thousand descriptors.
    pub fn memory() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Process {
            resident_bytes: kib(&status, "VmRSS:") * 1024,
            virtual_bytes: kib(&status, "VmSize:") * 1024,
            resident_peak_bytes: kib(&status, "VmHWM:") * 1024,
            ..Process::default()
        }
    }

    /// Prometheus text of this moment.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            (
                "voice_rss_bytes",
                "gauge",
                "Resident memory.",
                self.resident_bytes as f64,
            ),
            (
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory.",
                self.resident_bytes as f64,
            ),
            (
                "process_virtual_memory_bytes",
                "gauge",
                "Virtual memory.",
                self.virtual_bytes as f64,
            ),
            (
                "process_open_fds",
                "gauge",
                "Open descriptors.",
                self.open_fds as f64,
            ),
            ("process_threads", "gauge", "Threads.", self.threads as f64),
            (
                "process_cpu_seconds_total",
                "counter",
                "User and system time.",
                self.cpu_s,
            ),
        ] {
            text.push_str(&format!(
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            ));
        }
        text
    }
}

fn kib(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Fields 14 and 15 of `/proc/self/stat` (proc(5)), counted after the name in brackets, which
/// may hold spaces.
fn ticks(stat: &str) -> u64 {
    let after_name = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.resident_peak_bytes >= process.resident_bytes / 2);
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_times() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 120 30 0 0 20 0 1 0";
        assert_eq!(ticks(stat), 150);
    }
}
