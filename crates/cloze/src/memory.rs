//! How much memory the program takes.

/// Bytes of memory that are resident now; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    of_status("VmRSS:")
}

/// The most bytes of memory that were resident so far; `None` where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    of_status("VmHWM:")
}

/// A line of what Linux tells of the process, in kB.
fn of_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_told() {
        let resident = resident_bytes();
        assert!(resident.unwrap() > 1 << 20);
        // Read later, since other tests allocate meanwhile.
        assert!(peak_resident_bytes() >= resident);
    }
}
