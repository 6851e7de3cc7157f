//! What the machine offers: its addresses, and how many sockets it can hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits;

/// Addresses of all interfaces that are up, loopback included.
pub fn own_addresses() -> Vec<IpAddr> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills the pointer when it returns 0; the list is freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
    }
    let mut addresses = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: `next` is an entry of the list that getifaddrs made and nobody freed yet.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        if entry.ifa_flags & libc::IFF_UP as libc::c_uint == 0 {
            continue;
        }
        // SAFETY: `ifa_addr` is null or points to an address of the family it names.
        if let Some(address) = unsafe { read_address(entry.ifa_addr) }
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    // SAFETY: `first` came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(first) };
    addresses
}

/// # Safety
/// `address` is null or points to a socket address as large as its family says.
unsafe fn read_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: by this function's own condition.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = *address.cast::<libc::sockaddr_in>();
                Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(
                    v4.sin_addr.s_addr,
                ))))
            }
            libc::AF_INET6 => {
                let v6 = *address.cast::<libc::sockaddr_in6>();
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

/// Realtime sockets that descriptors and memory allow.
pub(super) fn realtime_sockets_max() -> usize {
    let by_files = nofile().saturating_sub(limits::NOFILE_RESERVE);
    let by_memory = memory_available() / limits::REALTIME_SOCKET_RAM_BYTES;
    limits::REALTIME_SOCKETS_MAX.min(by_files.min(by_memory) as usize)
}

fn nofile() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills the struct it is given.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

/// Bytes, from `/proc/meminfo`; a gigabyte where that cannot be read.
fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(1 << 30, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_own_addresses() {
        assert!(own_addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(realtime_sockets_max() > 0);
        assert!(memory_available() > 1 << 20);
    }
}
