//! A library that is preloaded (`LD_PRELOAD`) and ends or fails a program at its n-th file operation.
//!
//! ```text
//! FILE_FAULTS_LOG=FILE     appends a line for every operation: its number, name, and path if it has one
//! FILE_FAULTS_KILL_AT=N    sends SIGKILL before operation N; a write is done half
//! FILE_FAULTS_FULL_FROM=N  from operation N on, whatever needs space fails with ENOSPC
//! ```
//!
//! Operations are counted that change a file system: creating, writing to regular files, truncating, syncing, renaming,
//! removing, linking. The functions below take the place of the C library's and make the same system calls. Calls that a
//! program makes without the C library are not seen.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use libc::{SYS_copy_file_range, SYS_fdatasync, SYS_fsync, SYS_ftruncate, SYS_mkdirat, SYS_openat, SYS_pwrite64};
use libc::{SYS_renameat2, SYS_symlinkat, SYS_unlinkat, SYS_write, SYS_writev};
use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off64_t, size_t, ssize_t};

static OPERATIONS: AtomicI64 = AtomicI64::new(0);

struct Faults {
    log: c_int,
    kill_at: i64,
    full_from: i64,
}

/// Faults that the environment asks for. Nothing here may open a file through the functions below.
fn faults() -> &'static Faults {
    static FAULTS: OnceLock<Faults> = OnceLock::new();
    FAULTS.get_or_init(|| {
        let variable = |name: &CStr| {
            // SAFETY: the name ends with a zero; the program changes no variable after its start.
            let value = unsafe { libc::getenv(name.as_ptr()) };
            // SAFETY: what getenv gives ends with a zero and stays.
            (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
        };
        let number = |name| variable(name).and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(-1);
        let log = variable(c"FILE_FAULTS_LOG").map_or(-1, |path| {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
            // SAFETY: the path ends with a zero.
            unsafe { libc::syscall(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) as c_int }
        });
        Faults { log, kill_at: number(c"FILE_FAULTS_KILL_AT"), full_from: number(c"FILE_FAULTS_FULL_FROM") }
    })
}

/// How an operation goes on.
#[derive(PartialEq)]
enum Verdict {
    Do,
    Fail,
    /// The process is to be killed after half of the operation.
    Half,
}

/// Counts an operation. `path` may be null.
fn operation(name: &str, path: *const c_char, needs_space: bool) -> Verdict {
    let faults = faults();
    let number = OPERATIONS.fetch_add(1, Ordering::SeqCst) + 1;
    if faults.log >= 0 {
        let path = match path.is_null() {
            true => "".into(),
            // SAFETY: whoever calls a function with a path hands over one that ends with a zero.
            false => unsafe { CStr::from_ptr(path) }.to_string_lossy(),
        };
        let line = format!("{number} {name} {path}\n");
        // SAFETY: the pointer and the length are those of the line.
        unsafe { libc::syscall(SYS_write, faults.log, line.as_ptr(), line.len()) };
    }
    if number == faults.kill_at {
        return Verdict::Half;
    }
    if needs_space && faults.full_from > 0 && number >= faults.full_from {
        // SAFETY: errno belongs to this thread.
        unsafe { *libc::__errno_location() = libc::ENOSPC };
        return Verdict::Fail;
    }
    Verdict::Do
}

fn kill() -> ! {
    // SAFETY: both calls take numbers alone; the first does not return.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
        libc::_exit(137)
    }
}

fn is_regular(file: c_int) -> bool {
    if file <= 2 || file == faults().log {
        return false;
    }
    // SAFETY: all zeros is a `stat`, which fstat fills.
    let mut stat: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `stat` that lives during the call.
    unsafe { libc::fstat64(file, &mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG }
}

/// Makes a system call unless the operation is to fail or the process to end.
macro_rules! replace {
    ($name:literal, $path:expr, $needs_space:expr, $($argument:expr),+) => {
        match operation($name, $path, $needs_space) {
            // SAFETY: these are the arguments of the function that this one takes the place of, whose caller answers for them.
            Verdict::Do => unsafe { libc::syscall($($argument),+) },
            Verdict::Fail => -1,
            Verdict::Half => kill(),
        }
    };
}

const HERE: c_long = libc::AT_FDCWD as c_long;

fn open_at(dir: c_long, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    if flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
        // SAFETY: as in `replace`.
        return unsafe { libc::syscall(SYS_openat, dir, path, flags, mode) as c_int };
    }
    replace!("create", path, true, SYS_openat, dir, path, flags, mode) as c_int
}

/// # Safety
/// As of the C library's function of the same name; so of all below. The mode is there only when a file is created.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(HERE, path, flags, mode)
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(HERE, path, flags, mode)
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(c_long::from(dir), path, flags, mode)
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(c_long::from(dir), path, flags, mode)
}

fn write_at(name: &str, file: c_int, bytes: *const c_void, count: size_t, offset: Option<off64_t>) -> ssize_t {
    let write = |count: size_t| {
        // SAFETY: as in `replace`; `count` is at most the caller's.
        let written = unsafe {
            match offset {
                Some(offset) => libc::syscall(SYS_pwrite64, file, bytes, count, offset),
                None => libc::syscall(SYS_write, file, bytes, count),
            }
        };
        written as ssize_t
    };
    if !is_regular(file) {
        return write(count);
    }
    match operation(name, std::ptr::null(), true) {
        Verdict::Do => write(count),
        Verdict::Fail => -1,
        Verdict::Half => {
            write(count / 2);
            kill()
        }
    }
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    write_at("write", file, bytes, count, None)
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, offset: off64_t) -> ssize_t {
    write_at("pwrite", file, bytes, count, Some(offset))
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(file: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if !is_regular(file) {
        // SAFETY: as in `replace`.
        return unsafe { libc::syscall(SYS_writev, file, parts, count) as ssize_t };
    }
    replace!("writev", std::ptr::null(), true, SYS_writev, file, parts, count) as ssize_t
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off64_t,
    to: c_int,
    to_offset: *mut off64_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    let null = std::ptr::null();
    replace!("copy", null, true, SYS_copy_file_range, from, from_offset, to, to_offset, count, flags) as ssize_t
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    replace!("truncate", std::ptr::null(), true, SYS_ftruncate, file, length) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    replace!("sync", std::ptr::null(), true, SYS_fsync, file) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    replace!("sync", std::ptr::null(), true, SYS_fdatasync, file) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    replace!("rename", to, false, SYS_renameat2, HERE, from, HERE, to, 0) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    replace!("unlink", path, false, SYS_unlinkat, HERE, path, 0) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    replace!("rmdir", path, false, SYS_unlinkat, HERE, path, libc::AT_REMOVEDIR) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int {
    replace!("unlink", path, false, SYS_unlinkat, dir, path, flags) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    replace!("mkdir", path, true, SYS_mkdirat, HERE, path, mode) as c_int
}

/// # Safety
/// See [`open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn symlink(to: *const c_char, path: *const c_char) -> c_int {
    replace!("symlink", path, true, SYS_symlinkat, to, HERE, path) as c_int
}
