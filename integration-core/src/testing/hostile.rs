//! Hostile input: seeded mutations of good input, and whether time grows with the size or faster.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

/// The largest input that mutation makes, in bytes.
const LARGEST: usize = 32 * 1024;
/// Shorter than this, time is noise: the system counts in ticks of a few milliseconds.
const FLOOR: Duration = Duration::from_millis(25);

/// Feeds `target` with mutations of `seeds`, spiced with `words` that matter to it; it fails by panicking.
///
/// Every case follows from the seed and its number alone: `INTEGRATION_FUZZ_SEED` (42 unless set) and
/// `INTEGRATION_FUZZ_CASES` (`cases` unless set) are printed, and a case that panics with its number and its input.
///
/// # Panics
/// With whatever `target` panicked with.
pub fn fuzz(name: &str, cases: u64, seeds: &[&[u8]], words: &[&str], target: impl Fn(&[u8])) {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|value| value.parse().ok());
    let seed: u64 = number("INTEGRATION_FUZZ_SEED").unwrap_or(42);
    let cases = number("INTEGRATION_FUZZ_CASES").unwrap_or(cases);
    println!("{name}: seed {seed}, {cases} cases");
    for case in 0..cases {
        let input = Mutator(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(case)).input(seeds, words);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            println!("{name}: seed {seed}, case {case} panics on \"{}\"", shown(&input));
            resume_unwind(panic);
        }
    }
}

fn shown(input: &[u8]) -> String {
    input.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}", byte.escape_ascii());
        text
    })
}

/// SplitMix64 and what can be done to bytes with it.
struct Mutator(u64);

impl Mutator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `end`; zero if there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(bytes.len());
        let most = if self.below(4) == 0 { bytes.len() } else { 16 };
        from..bytes.len().min(from + self.below(most + 1))
    }

    fn input(&mut self, seeds: &[&[u8]], words: &[&str]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..=self.below(8) {
            self.mutate(&mut bytes, seeds, words);
            bytes.truncate(LARGEST);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, seeds: &[&[u8]], words: &[&str]) {
        let at = self.below(bytes.len() + 1);
        let range = self.range(bytes);
        match self.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let odd = [0, 9, 10, 13, 32, 34, 61, 63, 92, 127, 128, 255][self.below(12)];
                bytes.insert(at, odd);
            }
            2 => drop(bytes.drain(range)),
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[range].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let times = 1 << self.below(11);
                let piece = bytes[range].repeat(times);
                bytes.splice(at..at, piece.into_iter().take(LARGEST));
            }
            6 => {
                let other = seeds[self.below(seeds.len())];
                let piece = other[self.range(other)].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => bytes.extend((0..self.below(64)).map(|_| self.next().to_le_bytes()[0]).collect::<Vec<_>>()),
            _ => {
                let word = if words.is_empty() { "" } else { words[self.below(words.len())] };
                let times = if self.below(8) == 0 { self.below(300) } else { 1 };
                bytes.splice(at..at, word.repeat(times).into_bytes());
            }
        }
    }
}

/// Fails unless the time of `work` grows with the size of its input, not with its square: of inputs of `size`, twice and
/// four times that, the last may take 3.2 times as long per doubling (a square takes four times).
///
/// Small work is repeated until it can be measured. Counts the thread's own time on the processor where the system tells
/// it, takes the best of several runs, and looks again before it complains. `make` gets a size and makes an input that is
/// about so large.
///
/// # Panics
/// With the times, if they grow faster.
pub fn assert_linear<T>(name: &str, size: usize, make: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let inputs = [1, 2, 4].map(|factor| make(size * factor));
    let times = repetitions(|| work(&inputs[0]));
    let mut best = [Duration::MAX; 3];
    for _ in 0..5 {
        for (best, input) in best.iter_mut().zip(&inputs) {
            let begun = time_on_processor();
            (0..times).for_each(|_| work(input));
            *best = (*best).min(time_on_processor().saturating_sub(begun));
        }
        if best[2] < best[0].max(FLOOR / 2) * 10 {
            println!("{name}: {best:?} for {times} times {size} × 1, 2, 4");
            return;
        }
    }
    panic!("{name}: the time grows faster than the size: {best:?} for {times} times {size} × 1, 2, 4");
}

/// How often `work` has to be done until it takes long enough to be measured.
fn repetitions(work: impl Fn()) -> u32 {
    let begun = std::time::Instant::now();
    let mut times = 0;
    while times < 1_000 && begun.elapsed() < FLOOR {
        work();
        times += 1;
    }
    times
}

/// How long this thread has run; elsewhere than on Linux, the time that passed.
fn time_on_processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(since_the_beginning, Duration::from_nanos)
}

fn since_the_beginning() -> Duration {
    static BEGINNING: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGINNING.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn inputs(cases: u64) -> Vec<Vec<u8>> {
        let seen = RefCell::new(Vec::new());
        fuzz("inputs", cases, &[b"some seed", b"{\"another\":1}"], &["=?"], |input| {
            seen.borrow_mut().push(input.to_vec());
        });
        seen.into_inner()
    }

    #[test]
    fn mutation_repeats_itself_and_rarely_its_inputs() {
        let cases = if std::env::var_os("INTEGRATION_FUZZ_CASES").is_some() { return } else { 500 };
        let (first, second) = (inputs(cases), inputs(cases));
        assert_eq!(first, second);
        let distinct: std::collections::BTreeSet<&Vec<u8>> = first.iter().collect();
        assert!(distinct.len() > 400, "{}", distinct.len());
        assert!(first.iter().any(|input| input.len() > 1_000) && first.iter().all(|input| input.len() <= LARGEST));
    }

    #[test]
    #[should_panic(expected = "found the needle")]
    fn a_target_that_panics_is_not_passed_over() {
        fuzz("needle", 5_000, &[b"hay"], &["needle"], |input| {
            assert!(!input.windows(6).any(|window| window == b"needle"), "found the needle");
        });
    }

    #[test]
    #[should_panic(expected = "the time grows faster than the size")]
    fn work_that_grows_with_the_square_is_noticed() {
        let square = |size: &usize| {
            let total = (0..*size).flat_map(|a| (0..*size).map(move |b| a ^ b)).fold(0, usize::wrapping_add);
            std::hint::black_box(total);
        };
        assert_linear("square", 2_000, |size| size, square);
    }

    #[test]
    fn work_that_grows_with_the_size_is_fine() {
        let line = |size: &usize| {
            std::hint::black_box((0..*size).fold(0, |a, b| a ^ b));
        };
        assert_linear("line", 500_000, |size| size, line);
    }
}
