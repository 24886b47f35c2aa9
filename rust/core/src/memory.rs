//! The CPU's memory: freed blocks are kept by size and used again, last in first out, while they are still in cache.
//!
//! A block of the system's costs a fault for each page that is touched, which for a network's activations is as much as
//! computing them. So a program keeps what it had at its busiest, and a fourth more for sizes that differ: a training
//! step finds the blocks of the step before. What a program has not needed for [`WINDOW`] releases goes back.

use crate::sync::lock;
use std::alloc::{Layout, alloc, dealloc};
use std::sync::Mutex;

const ALIGN: usize = 64;
/// Bytes kept for reuse whatever a program needed before.
const KEEP: usize = 512 << 20;
/// Releases for which it is remembered how much memory was in use, once or twice over.
const WINDOW: u32 = 1 << 16;
/// Blocks from this size on lie on whole huge pages, where the system has them: a first touch costs a hundredth, and
/// kernels that jump between rows find their addresses.
const HUGE_FROM: usize = 2 << 20;
const HUGE_PAGE: usize = 2 << 20;

const PLACES: usize = usize::BITS as usize * STEPS;
/// Classes of a power of two, and one place for that itself.
const STEPS: usize = 17;

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Memory of at least so many bytes, uninitialised and 64-byte aligned; None when the system refuses.
pub fn allocate(bytes: usize) -> Option<*mut u8> {
    let class = class(bytes)?;
    let layout = Layout::from_size_align(class, alignment(class)).ok()?;
    let surplus = {
        let mut pool = lock(&POOL);
        if let Some(block) = pool.take(class) {
            return Some(block as *mut u8);
        }
        pool.surplus()
    };
    free_all(surplus);
    // SAFETY: the layout has a non-zero size.
    let mut ptr = unsafe { alloc(layout) };
    if ptr.is_null() {
        clear();
        // SAFETY: as above.
        ptr = unsafe { alloc(layout) };
    }
    if ptr.is_null() {
        lock(&POOL).live -= class;
        return None;
    }
    if class >= HUGE_FROM {
        ask_for_huge_pages(ptr, class);
    }
    Some(ptr)
}

/// Takes back what [`allocate`] gave for so many bytes.
pub fn release(ptr: *mut u8, bytes: usize) {
    let Some(class) = class(bytes) else { return };
    let surplus = {
        let mut pool = lock(&POOL);
        pool.put(ptr as usize, class);
        pool.surplus()
    };
    free_all(surplus);
}

/// Gives every kept block back to the system.
pub fn clear() {
    let kept = lock(&POOL).empty();
    free_all(kept);
}

/// Sizes are rounded up to a sixteenth of their power of two, so similar sizes share blocks.
fn class(bytes: usize) -> Option<usize> {
    let bytes = bytes.max(ALIGN);
    bytes.checked_next_multiple_of(step(bytes.checked_next_power_of_two()?))
}

fn step(power: usize) -> usize {
    (power >> 4).max(ALIGN)
}

fn place(class: usize) -> usize {
    let power = class.next_power_of_two();
    power.trailing_zeros() as usize * STEPS + class / step(power)
}

fn class_at(place: usize) -> usize {
    place % STEPS * step(1 << (place / STEPS))
}

fn alignment(class: usize) -> usize {
    if class >= HUGE_FROM { HUGE_PAGE } else { ALIGN }
}

fn free_all(blocks: Vec<(usize, usize)>) {
    for (block, class) in blocks {
        // SAFETY: the block came from `alloc` with this very layout, and the pool has forgotten it.
        unsafe { dealloc(block as *mut u8, Layout::from_size_align_unchecked(class, alignment(class))) }
    }
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages(ptr: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    // SAFETY: whole pages of a block of ours; advice changes no contents, and a refusal does no harm.
    unsafe { madvise(ptr.cast(), bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_ptr: *mut u8, _bytes: usize) {}

/// The books: which blocks are kept, and how much is in use. It never touches a block.
struct Pool {
    /// Addresses of kept blocks by the place of their class.
    free: [Vec<usize>; PLACES],
    /// When a block of the class was last put back, in releases.
    used: [u64; PLACES],
    releases: u64,
    kept: usize,
    live: usize,
    /// The most bytes in use in this window of releases, and in the one before.
    peaks: [usize; 2],
}

impl Pool {
    const fn new() -> Pool {
        Pool { free: [const { Vec::new() }; PLACES], used: [0; PLACES], releases: 0, kept: 0, live: 0, peaks: [0; 2] }
    }

    /// A kept block of the class; without one the class counts as in use all the same, for the caller makes it.
    fn take(&mut self, class: usize) -> Option<usize> {
        self.live += class;
        self.peaks[0] = self.peaks[0].max(self.live);
        let block = self.free[place(class)].pop()?;
        self.kept -= class;
        Some(block)
    }

    fn put(&mut self, block: usize, class: usize) {
        self.live -= class;
        self.kept += class;
        let place = place(class);
        self.free[place].push(block);
        self.releases += 1;
        self.used[place] = self.releases;
        if self.releases.is_multiple_of(u64::from(WINDOW)) {
            self.peaks = [self.live, self.peaks[0]];
        }
    }

    /// Takes out, with their classes, the blocks that are too many, of the class that was longest not put back first.
    fn surplus(&mut self) -> Vec<(usize, usize)> {
        let peak = self.peaks[0].max(self.peaks[1]);
        let bound = (peak + peak / 4).max(self.live + KEEP);
        let mut out = Vec::new();
        while self.kept > 0 && self.live + self.kept > bound {
            let oldest =
                (0..PLACES).filter(|&place| !self.free[place].is_empty()).min_by_key(|&place| self.used[place]);
            let Some(place) = oldest else { break };
            let class = class_at(place);
            while self.live + self.kept > bound
                && let Some(block) = self.free[place].pop()
            {
                self.kept -= class;
                out.push((block, class));
            }
        }
        out
    }

    fn empty(&mut self) -> Vec<(usize, usize)> {
        self.kept = 0;
        self.peaks = [self.live, self.live];
        let blocks = self.free.iter_mut().enumerate();
        blocks.flat_map(|(place, blocks)| blocks.drain(..).map(move |block| (block, class_at(place)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: usize = 256 << 20;

    /// So many blocks of a class are taken and put back; how many of them the system had to make, and get back.
    fn step(pool: &mut Pool, class: usize, blocks: usize) -> (usize, usize) {
        let (mut held, mut made, mut freed) = (Vec::new(), 0, 0);
        for number in 0..blocks {
            held.push(pool.take(class).unwrap_or_else(|| {
                made += 1;
                freed += pool.surplus().len();
                number
            }));
        }
        for block in held {
            pool.put(block, class);
            freed += pool.surplus().len();
        }
        (made, freed)
    }

    #[test]
    fn every_class_has_a_place_and_is_found_there() {
        for bytes in (0..4000).chain((12..40).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1])) {
            let class = class(bytes).unwrap();
            assert!(class >= bytes && class <= bytes.max(ALIGN) + (bytes / 8).max(ALIGN), "{bytes}: {class}");
            assert_eq!(class_at(place(class)), class);
        }
        assert_eq!(class(usize::MAX), None);
    }

    #[test]
    fn a_step_finds_the_blocks_of_the_step_before() {
        let mut pool = Box::new(Pool::new());
        assert_eq!(step(&mut pool, BIG, 20), (20, 0));
        for _ in 0..5 {
            assert_eq!(step(&mut pool, BIG, 20), (0, 0));
        }
        assert_eq!((pool.live, pool.kept), (0, 20 * BIG));
    }

    #[test]
    fn other_sizes_take_the_place_of_those_no_longer_used() {
        let mut pool = Box::new(Pool::new());
        step(&mut pool, BIG, 20);
        for _ in 0..4 {
            step(&mut pool, BIG / 2, 40);
        }
        assert!(pool.live + pool.kept <= 25 * BIG);
        assert_eq!(step(&mut pool, BIG / 2, 40), (0, 0));
    }

    #[test]
    fn what_was_not_needed_for_long_goes_back() {
        let mut pool = Box::new(Pool::new());
        step(&mut pool, BIG, 20);
        for _ in 0..2 * WINDOW {
            step(&mut pool, ALIGN, 1);
        }
        assert!(pool.kept <= KEEP, "{}", pool.kept);
        assert_eq!(pool.free[place(BIG)].len(), KEEP / BIG - 1);
    }

    #[test]
    fn emptying_gives_every_block_back() {
        let mut pool = Box::new(Pool::new());
        step(&mut pool, BIG, 3);
        step(&mut pool, ALIGN, 2);
        let mut classes: Vec<usize> = pool.empty().into_iter().map(|(_, class)| class).collect();
        classes.sort_unstable();
        assert_eq!(classes, [ALIGN, ALIGN, BIG, BIG, BIG]);
        assert_eq!((pool.kept, pool.live), (0, 0));
    }
}
