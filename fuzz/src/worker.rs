//! One target in one process: runs inputs, measures them, keeps what goes wrong.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::memory;
use crate::mutate::mutate;
use crate::random::Random;
use crate::targets::{Run, Target};
use crate::{Outcome, Task, corpus, findings};

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// Memory that any input may take; besides, a target says how many times its length.
const BYTES_BASE: usize = 64 << 20;
/// Processor time that any input may take, for a machine that is busy, and what a megabyte may take besides.
const TIME_BASE: Duration = Duration::from_secs(1);
const TIME_OF_MEGABYTE: Duration = Duration::from_secs(5);
/// Beyond these the process ends, before the machine suffers.
const BYTES_DEADLY: usize = 2 << 30;
const TIME_DEADLY: Duration = Duration::from_secs(60);
/// Inputs that are changed further, and how long they are at most.
const POOL_MAX: usize = 4096;
const POOLED_MAX: usize = 1 << 16;
/// Inputs that become part of the corpus are at most this long, and the corpus has at most so many.
const KEPT_MAX: usize = 2048;
const CORPUS_MAX: usize = 16;

/// Kind of a finding that takes too long.
const SLOW: &str = "slow";

/// Message and place of the last panic.
static PANIC: Mutex<String> = Mutex::new(String::new());
/// Milliseconds from the start of the process at which the input that runs was started; 0 between inputs.
static RUNNING_SINCE: AtomicU64 = AtomicU64::new(0);

/// A folder in memory where there is one: every input is written at least twice.
fn temporary() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
}

fn empty_folder() -> tempfile::TempDir {
    tempfile::tempdir_in(temporary()).expect("a folder for temporary files")
}

/// Where the input of this process's child is, so that it can be found after the child has ended.
fn last_input(target: &Target, parent: u32) -> PathBuf {
    temporary().join(format!("cloze-fuzz-{parent}-{}", target.name))
}

/// Keeps the input that ended a child of this process; gives whether there was one.
pub fn keep_last_input(target: &Target, how: &str) -> bool {
    let path = last_input(target, std::process::id());
    match fs::read(&path) {
        Ok(input) => report(target, "ended the process", how, &input),
        Err(error) => {
            println!("{}: the process ended ({how}) without an input: {error}", target.name);
            return false;
        }
    }
    let _ = fs::remove_file(path);
    true
}

fn report(target: &Target, kind: &str, what: &str, input: &[u8]) {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = findings(target).join(format!("{}-{:016x}", kind.replace(' ', "-"), hasher.finish()));
    let kept = fs::write(&path, input).map_or_else(|error| error.to_string(), |()| path.display().to_string());
    println!("FINDING in {}: {kind}: {what}\n    {} bytes: {kept}", target.name, input.len());
}

struct Worker<'a> {
    target: &'a Target,
    run: Run,
    last_input: PathBuf,
    /// Answers that were seen.
    answers: HashSet<u64>,
    /// Faults that were reported: of a kind at a place one is enough.
    reported: HashSet<String>,
    inputs: u64,
    slowest: Duration,
    most_memory: usize,
}

/// Runs one input and says what came of it.
pub fn run_one(target: &Target, file: &Path) -> ExitCode {
    let input = match fs::read(file) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    let folder = empty_folder();
    let mut run = (target.prepare)(folder.path());
    let before = memory::now();
    memory::reset_peak();
    let started = processor_time();
    let answer = run(&input);
    let (elapsed, memory) = (processor_time() - started, memory::peak().saturating_sub(before));
    println!("{answer}\n{} ms, {} MiB", elapsed.as_millis(), memory >> 20);
    ExitCode::SUCCESS
}

/// Runs the corpus of a target, then changed inputs for the time of the task.
pub fn run(target: &Target, task: &Task) -> ExitCode {
    fs::create_dir_all(findings(target)).expect("a folder for findings");
    let (folder, seeds_folder) = (empty_folder(), empty_folder());
    let inputs = inputs(target, seeds_folder.path());
    let mut worker = Worker {
        target,
        run: (target.prepare)(folder.path()),
        last_input: last_input(target, std::os::unix::process::parent_id()),
        answers: HashSet::new(),
        reported: HashSet::new(),
        inputs: 0,
        slowest: Duration::ZERO,
        most_memory: 0,
    };
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = info.to_string().replace('\n', " ");
    }));
    std::thread::spawn(watch);
    let seeds = inputs.len();
    let mut room = CORPUS_MAX.saturating_sub(fs::read_dir(corpus(target)).map_or(0, Iterator::count));
    for input in &inputs {
        worker.try_input(input);
    }
    let mut pool: Vec<Vec<u8>> = inputs.into_iter().filter(|input| input.len() <= POOLED_MAX).collect();
    let (started, mut random) = (Instant::now(), Random::new(task.seed));
    while started.elapsed().as_secs_f64() < task.seconds && !pool.is_empty() {
        let other = random.below(pool.len());
        let input = &pool[random.below(pool.len())];
        let mut input = mutate(&target.shape, input, &pool[other], &mut random);
        input.truncate(target.length_max);
        let is_new = worker.try_input(&input);
        if is_new && input.len() <= POOLED_MAX && pool.len() < POOL_MAX {
            if task.keep && room > 0 && input.len() <= KEPT_MAX {
                worker.keep(&input);
                room -= 1;
            }
            pool.push(input);
        }
    }
    let _ = fs::remove_file(&worker.last_input);
    let Worker { inputs, answers, slowest, most_memory, reported, .. } = worker;
    println!(
        "{:24}{inputs:>9} inputs from {seeds:>3}, {:>4} answers, slowest {:>5} ms, most memory {:>4} MiB, findings {}",
        target.name,
        answers.len(),
        slowest.as_millis(),
        most_memory >> 20,
        reported.len()
    );
    match reported.iter().all(|kind| kind == SLOW) {
        _ if reported.is_empty() => Outcome::Well,
        true => Outcome::Slow,
        false => Outcome::Wrong,
    }
    .code()
}

/// The seeds and the corpus.
fn inputs(target: &Target, folder: &Path) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)(folder);
    let mut paths: Vec<PathBuf> = match fs::read_dir(corpus(target)) {
        Ok(entries) => entries.map(|entry| entry.expect("an entry of the corpus").path()).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    inputs.extend(paths.iter().map(|path| fs::read(path).expect("an input")));
    assert!(!inputs.is_empty(), "{} has no inputs", target.name);
    inputs
}

impl Worker<'_> {
    /// Runs an input; gives whether its answer is new.
    fn try_input(&mut self, input: &[u8]) -> bool {
        let _ = fs::write(&self.last_input, input);
        self.inputs += 1;
        let (answer, mut elapsed, memory) = self.measure(input);
        let length = self.target.shape.length(input);
        let megabytes = length as f64 / f64::from(1 << 20);
        let time_max = TIME_BASE + TIME_OF_MEGABYTE.mul_f64(megabytes);
        // Others may have had caches and the rest of a core meanwhile.
        for _ in 0..2 {
            if elapsed > time_max {
                elapsed = elapsed.min(self.measure(input).1);
            }
        }
        let memory_max = BYTES_BASE + self.target.bytes_times * length;
        self.slowest = self.slowest.max(elapsed);
        self.most_memory = self.most_memory.max(memory);
        let answer = match answer {
            Ok(answer) => answer,
            Err(panic) => {
                self.note("panic", &panic, input);
                return false;
            }
        };
        if elapsed > time_max {
            self.note(SLOW, &format!("{} ms, at most {}", elapsed.as_millis(), time_max.as_millis()), input);
        }
        if memory > memory_max {
            self.note("memory", &format!("{} MiB, at most {}", memory >> 20, memory_max >> 20), input);
        }
        self.answers.insert(essence(&answer))
    }

    /// The answer or the panic, the processor time, and the memory beyond what there was before.
    fn measure(&mut self, input: &[u8]) -> (Result<String, String>, Duration, usize) {
        RUNNING_SINCE.store(now().max(1), Ordering::Relaxed);
        let before = memory::now();
        memory::reset_peak();
        let started = processor_time();
        let answer = catch_unwind(AssertUnwindSafe(|| (self.run)(input)));
        let elapsed = processor_time() - started;
        let memory = memory::peak().saturating_sub(before);
        RUNNING_SINCE.store(0, Ordering::Relaxed);
        let panic = |_| PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        (answer.map_err(panic), elapsed, memory)
    }

    fn note(&mut self, kind: &str, what: &str, input: &[u8]) {
        // A panic's place is what tells it from others; of slow and large inputs one is enough.
        let place =
            if kind == "panic" { what.split(' ').take(4).collect::<Vec<_>>().join(" ") } else { kind.to_string() };
        if self.reported.insert(place) {
            report(self.target, kind, what, input);
        }
    }

    fn keep(&self, input: &[u8]) {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        fs::create_dir_all(corpus(self.target)).expect("a folder for the corpus");
        let path = corpus(self.target).join(format!("{:016x}", hasher.finish()));
        fs::write(&path, input).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Processor time of all threads of this process. Unlike the clock's, it leaves out what other processes took.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Milliseconds since the process began.
fn now() -> u64 {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Ends the process where an input would take the machine with it.
fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let since = RUNNING_SINCE.load(Ordering::Relaxed);
        if since == 0 {
            continue;
        }
        if memory::now() > BYTES_DEADLY {
            eprintln!("more than {} MiB of memory", BYTES_DEADLY >> 20);
            std::process::exit(3);
        }
        if now().saturating_sub(since) > TIME_DEADLY.as_millis() as u64 {
            eprintln!("more than {} s", TIME_DEADLY.as_secs());
            std::process::exit(3);
        }
    }
}

/// Hash of an answer without numbers and quoted parts.
fn essence(answer: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut quoted = false;
    for c in answer.chars().take(400) {
        match c {
            '`' | '"' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => c.hash(&mut hasher),
        }
    }
    hasher.finish()
}
