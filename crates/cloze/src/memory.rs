//! Memory of the program: how much it takes, and large buffers that may not fit.

use crate::Error;

/// `len` zeros for `what`.
///
/// # Errors
/// If the system has no memory for them, as under a limit of the process.
pub(crate) fn zeros(len: usize, what: &'static str) -> Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    match values.try_reserve_exact(len) {
        Ok(()) => {
            values.resize(len, 0.0);
            Ok(values)
        }
        Err(_) => Err(Error::Memory { what, bytes: len as u64 * size_of::<f32>() as u64 }),
    }
}

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
    fn a_buffer_that_does_not_fit_is_an_error() {
        assert_eq!(zeros(3, "weights").unwrap(), [0.0; 3]);
        let message = zeros(1 << 60, "weights").unwrap_err().to_string();
        assert!(message.starts_with("no memory for weights, 4611686018427387904 bytes"), "{message}");
    }

    #[test]
    fn what_is_resident_is_told() {
        let resident = resident_bytes();
        assert!(resident.unwrap() > 1 << 20);
        // Read later, since other tests allocate meanwhile.
        assert!(peak_resident_bytes() >= resident);
    }
}
