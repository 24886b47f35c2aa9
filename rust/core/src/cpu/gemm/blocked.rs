//! The blocked product: a grid of tasks over rows and columns, each summing over k in blocks of fixed size.
//!
//! Every element of C is summed in an order that depends on k and the level alone: tasks split rows and columns, never k.

use super::kernel::{Compute, Kernels, Tile};
use super::pack::{Operand, transpose};
use super::{BlockFn, RowFn};
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads;
use crate::simd_dispatch;
use std::ops::Range;

/// Below this many multiply-adds (about 20 µs) a product stays on the calling thread.
const PARALLEL_FROM: usize = 1_500_000;
/// Elements of B packed at once for all threads (16 MiB of f32).
const SHARED_B: usize = 4 << 20;
/// Elements of A that a task packs for all of k, instead of block by block.
const WHOLE_A: usize = 32 << 10;
/// Elements of B that every task packs for itself, which costs less than waiting for each other.
const WHOLE_B: usize = 32 << 10;
/// Elements of B that stay in L2 while the panels of a task pass over them.
const L2_B: usize = 64 << 10;
/// Up to this depth a strip of B stays in L1, even where its rows lie apart.
const SHORT_K: usize = 64;
/// Block of k when B is read where it lies: each row of B is another page, and the first-level TLB has 64 to 96 entries.
const DIRECT_KC: usize = 32;

/// Where the tiles of C go.
pub(super) enum Target<'a, T> {
    /// Rows of C in memory.
    Rows { c: *mut T, stride: usize, alpha: T, beta: T },
    /// A task's block is computed in a buffer and handed over row by row.
    Staged(&'a RowFn<'a, T>),
    /// The same, turned: columns of the product are rows of C in memory.
    Turned { c: *mut T, stride: usize },
}

// SAFETY: tasks write disjoint parts of C.
unsafe impl<T> Sync for Target<'_, T> {}

/// How the tasks get at B.
#[derive(Clone, Copy, PartialEq)]
enum BMode {
    /// Read where it lies.
    Direct,
    /// Packed beforehand by all threads together.
    Shared,
    /// Packed strip by strip by the task that needs it.
    Local,
}

struct Plan<'a, T: Compute> {
    k: usize,
    a: Operand<'a, T>,
    b: Operand<'a, T>,
    target: &'a Target<'a, T>,
    then: Option<&'a BlockFn<'a>>,
    kernels: &'static Kernels<T>,
    kc: usize,
    a_direct: bool,
    b_mode: BMode,
    rows: Panels,
    n: usize,
    /// The packed strips from `first_strip` on, each `k × nr`.
    shared: *const T,
    first_strip: usize,
}

// SAFETY: tasks write disjoint parts of C and only read the rest.
unsafe impl<T: Compute> Sync for Plan<'_, T> {}

/// The rows of C in panels of equal height, give or take one row.
#[derive(Clone, Copy)]
struct Panels {
    m: usize,
    count: usize,
}

impl Panels {
    fn start(self, i: usize) -> usize {
        (i * self.m).div_ceil(self.count)
    }
    fn range(self, i: usize) -> Range<usize> {
        self.start(i)..self.start(i + 1)
    }
}

/// C (m × n) from A (m × k) and B (k × n), whose finished blocks are handed over.
///
/// # Safety
/// The target's memory is valid for m × n and not otherwise accessed meanwhile; the operands cover their sizes.
pub(super) unsafe fn run<T: Compute>(
    m: usize,
    n: usize,
    k: usize,
    a: Operand<T>,
    b: Operand<T>,
    target: &Target<T>,
    then: Option<&BlockFn>,
) {
    let kernels = &T::kernels().0;
    let (mr, nr) = (kernels.mr, kernels.nr);
    let strips = n.div_ceil(nr);
    let size = std::mem::size_of::<T>();
    let b_mode = match b.direct {
        // Packing pays when several panels of rows read B again, and B is large enough to need order.
        Some((_, 1, depth))
            if m <= 2 * mr
                || k * n * size <= (64 << 10)
                || k * n * size <= (512 << 10)
                    && (m <= 8 * mr || k <= SHORT_K && !(depth * size).is_multiple_of(1024)) =>
        {
            BMode::Direct
        }
        _ if m <= kernels.mc || k * nr > SHARED_B || k * n <= WHOLE_B => BMode::Local,
        _ => BMode::Shared,
    };
    let kc_limit =
        if b_mode == BMode::Direct && k * n * size > (64 << 10) && m <= 2 * mr { DIRECT_KC } else { kernels.kc };
    // Equal blocks of k; up to a quarter more than the limit is better than a second visit of C.
    let blocks = if k <= kc_limit + kc_limit / 4 { 1 } else { k.div_ceil(kc_limit) };
    let kc = k.div_ceil(blocks).next_multiple_of(8).min(k);
    let a_direct = match a.direct {
        // With few columns packing never pays; with many, rows a multiple of 1 KiB apart would compete for sets of L1.
        Some((_, lane, _)) => {
            n <= 2 * nr || (blocks == 1 && (n <= 4 * nr || lane <= kc || !(lane * size).is_multiple_of(1024)))
        }
        None => false,
    };
    let rows = Panels { m, count: m.div_ceil(mr) };
    let threads = if m * n * k < PARALLEL_FROM || threads::is_inside() { 1 } else { threads::num_threads() };
    let mut plan = Plan {
        k,
        a,
        b,
        target,
        then,
        kernels,
        kc,
        a_direct,
        b_mode,
        rows,
        n,
        shared: std::ptr::null(),
        first_strip: 0,
    };
    if b_mode != BMode::Shared {
        return plan.run_strips(0..strips, threads);
    }
    let strips_at_once = (SHARED_B / (k * nr)).max(1);
    for first in (0..strips).step_by(strips_at_once) {
        let now = first..(first + strips_at_once).min(strips);
        with_scratch::<T, _>(now.len() * k * nr, |buffer| {
            plan.pack_shared(now.clone(), threads, buffer);
            (plan.shared, plan.first_strip) = (buffer.as_ptr(), first);
            plan.run_strips(now.clone(), threads);
        });
    }
}

/// The part of C that a task computes, and the buffer for it when C is staged.
struct Block<T> {
    rows: Range<usize>,
    cols: Range<usize>,
    staged: *mut T,
}

impl<T: Compute> Plan<'_, T> {
    fn columns(&self, strip: usize) -> Range<usize> {
        strip * self.kernels.nr..((strip + 1) * self.kernels.nr).min(self.n)
    }

    /// Packs the strips into `buffer`, each one k × nr, in parallel over strips and blocks of k.
    fn pack_shared(&self, strips: Range<usize>, threads: usize, buffer: &mut [T]) {
        let nr = self.kernels.nr;
        let k_blocks = self.k.div_ceil(self.kc);
        let base = SendPtr(buffer.as_mut_ptr());
        let pieces = strips.len() * k_blocks;
        let grain = if threads == 1 { pieces } else { (16_384 / (self.kc * nr)).max(1) };
        threads::parallel_for(pieces, grain, |range| {
            for piece in range {
                let (s, kb) = (piece / k_blocks, piece % k_blocks);
                let ks = kb * self.kc..((kb + 1) * self.kc).min(self.k);
                // SAFETY: pieces are disjoint parts of the buffer.
                let panel = unsafe {
                    std::slice::from_raw_parts_mut(base.get().add((s * self.k + ks.start) * nr), ks.len() * nr)
                };
                self.b.pack.pack(self.columns(strips.start + s), ks, nr, panel);
            }
        });
    }

    /// Cuts the panels × strips into tasks and runs them.
    fn run_strips(&self, strips: Range<usize>, threads: usize) {
        let (row_cuts, col_cuts) = self.grid(strips.len(), threads);
        let cut = |i: usize, cuts: usize, n: usize| i * n / cuts;
        let task = |t: usize| {
            let (i, j) = (t % row_cuts, t / row_cuts);
            let panels = cut(i, row_cuts, self.rows.count)..cut(i + 1, row_cuts, self.rows.count);
            let mine = strips.start + cut(j, col_cuts, strips.len())..strips.start + cut(j + 1, col_cuts, strips.len());
            self.task(panels, mine);
        };
        let grain = if threads == 1 { row_cuts * col_cuts } else { 1 };
        threads::parallel_for(row_cuts * col_cuts, grain, |range| range.for_each(task));
    }

    /// The number of row blocks and column blocks with the least estimated time, in multiply-adds of a full tile.
    fn grid(&self, strips: usize, threads: usize) -> (usize, usize) {
        let panels = self.rows.count;
        let most_rows = (self.kernels.mc / self.kernels.mr).max(1);
        let fewest = panels.div_ceil(most_rows);
        if threads == 1 {
            return (fewest, 1);
        }
        // Packing an element costs about as much as this many multiply-adds.
        const PACK: usize = 16;
        let tile = self.kernels.mr * self.kernels.nr;
        let mut best = (usize::MAX, (fewest, 1));
        for row_cuts in fewest..=panels.min(fewest.max(4 * threads)) {
            for col_cuts in 1..=strips.min(4 * threads) {
                let (p, s) = (panels.div_ceil(row_cuts), strips.div_ceil(col_cuts));
                let pack_a = if self.a_direct { 0 } else { p * self.kernels.mr * PACK };
                let pack_b = if self.b_mode == BMode::Local { s * self.kernels.nr * PACK } else { 0 };
                let cost = p * s * tile + pack_a + pack_b;
                // Half a task more, because the last ones rarely end together.
                let rounds = (row_cuts * col_cuts).div_ceil(threads);
                let time = rounds * cost + cost / 2;
                if time < best.0 {
                    best = (time, (row_cuts, col_cuts));
                }
            }
        }
        best.1
    }

    /// Computes the tiles of some panels and strips.
    fn task(&self, panels: Range<usize>, strips: Range<usize>) {
        if panels.is_empty() || strips.is_empty() {
            return;
        }
        let rows = self.rows.start(panels.start)..self.rows.start(panels.end);
        let cols = self.columns(strips.start).start..self.columns(strips.end - 1).end;
        let whole_a = rows.len() * self.k <= WHOLE_A;
        let a_len = match (self.a_direct, whole_a) {
            (true, _) => 0,
            (_, true) => rows.len() * self.k,
            _ => rows.len() * self.kc,
        };
        let group = (L2_B / (self.kc * self.kernels.nr)).clamp(1, strips.len());
        let b_len = if self.b_mode == BMode::Local { group * self.kc * self.kernels.nr } else { 0 };
        let c_len = if matches!(self.target, Target::Rows { .. }) { 0 } else { rows.len() * cols.len() };
        // Multiples of a cache line keep the parts aligned.
        let (a_len, b_len) = (a_len.next_multiple_of(16), b_len.next_multiple_of(16));
        with_scratch::<T, _>(a_len + b_len + c_len, |scratch| {
            let (a_buffer, rest) = scratch.split_at_mut(a_len);
            let (b_buffer, staged) = rest.split_at_mut(b_len);
            if whole_a && !self.a_direct {
                self.pack_a(panels.clone(), 0..self.k, a_buffer);
            }
            let block = Block { rows: rows.clone(), cols: cols.clone(), staged: staged.as_mut_ptr() };
            for k0 in (0..self.k).step_by(self.kc) {
                let ks = k0..(k0 + self.kc).min(self.k);
                if !whole_a && !self.a_direct {
                    self.pack_a(panels.clone(), ks.clone(), a_buffer);
                }
                let a_depth = if whole_a { 0..self.k } else { ks.clone() };
                for first in strips.clone().step_by(group) {
                    let strips = first..(first + group).min(strips.end);
                    let b = self.b_panels(strips.clone(), ks.clone(), b_buffer);
                    for panel in panels.clone() {
                        let a = self.a_panel(panel, ks.start, a_buffer, rows.start, a_depth.clone());
                        self.row_of_tiles(&block, panel, strips.clone(), ks.clone(), a, b);
                    }
                }
            }
            self.finish(rows.clone(), cols.clone(), staged);
        });
    }

    /// Packs panels one after the other, each `depth.len() × height`.
    fn pack_a(&self, panels: Range<usize>, depth: Range<usize>, buffer: &mut [T]) {
        let first = self.rows.start(panels.start);
        for panel in panels {
            let rows = self.rows.range(panel);
            let at = (rows.start - first) * depth.len();
            let size = rows.len() * depth.len();
            self.a.pack.pack(rows.clone(), depth.clone(), rows.len(), &mut buffer[at..at + size]);
        }
    }

    /// Address and strides (row, depth) of a panel from depth `k0` on; packed panels cover `a_depth`.
    fn a_panel(
        &self,
        panel: usize,
        k0: usize,
        a_buffer: &[T],
        first_row: usize,
        a_depth: Range<usize>,
    ) -> (*const T, usize, usize) {
        let rows = self.rows.range(panel);
        match self.a.direct {
            Some((p, lane, depth)) if self.a_direct => (p.wrapping_add(rows.start * lane + k0 * depth), lane, depth),
            _ => {
                let at = (rows.start - first_row) * a_depth.len() + (k0 - a_depth.start) * rows.len();
                (a_buffer[at..].as_ptr(), 1, rows.len())
            }
        }
    }

    /// Address of the first strip from `ks.start` on, the distance of strips, and the depth stride; packs B when it must.
    fn b_panels(&self, strips: Range<usize>, ks: Range<usize>, b_buffer: &mut [T]) -> (*const T, usize, usize) {
        let nr = self.kernels.nr;
        match (self.b_mode, self.b.direct) {
            (BMode::Direct, Some((p, _, depth))) => (p.wrapping_add(strips.start * nr + ks.start * depth), nr, depth),
            (BMode::Shared, _) => {
                let at = ((strips.start - self.first_strip) * self.k + ks.start) * nr;
                (self.shared.wrapping_add(at), self.k * nr, nr)
            }
            _ => {
                let size = ks.len() * nr;
                for (strip, panel) in strips.zip(b_buffer.chunks_mut(size)) {
                    self.b.pack.pack(self.columns(strip), ks.clone(), nr, panel);
                }
                (b_buffer.as_ptr(), size, nr)
            }
        }
    }

    /// Adds the products over `ks` to the tiles of one panel: its part of A stays in L1 while B streams from L2.
    fn row_of_tiles(
        &self,
        block: &Block<T>,
        panel: usize,
        strips: Range<usize>,
        ks: Range<usize>,
        (a, a_row, a_depth): (*const T, usize, usize),
        (b, b_strip, b_depth): (*const T, usize, usize),
    ) {
        let lanes = self.kernels.lanes;
        let rows = self.rows.range(panel);
        let (c, c_row, alpha, beta) = match *self.target {
            Target::Rows { c, stride, alpha, beta, .. } => (c.wrapping_add(rows.start * stride), stride, alpha, beta),
            Target::Staged(_) | Target::Turned { .. } => {
                let width = block.cols.len();
                let row = block.staged.wrapping_add((rows.start - block.rows.start) * width);
                // Column 0 lies before the buffer, which starts at the block's first column.
                (row.wrapping_sub(block.cols.start), width, T::ONE, T::ZERO)
            }
        };
        let beta = if ks.start == 0 { beta } else { T::ONE };
        for (i, strip) in strips.enumerate() {
            let cols = self.columns(strip);
            let tile = Tile {
                k: ks.len(),
                a,
                a_row,
                a_depth,
                b: b.wrapping_add(i * b_strip),
                b_depth,
                c: c.wrapping_add(cols.start),
                c_row,
                alpha,
                beta,
                last: cols.len() - (cols.len() - 1) / lanes * lanes,
            };
            // SAFETY: the pointers cover the tile's rows, columns and depth by construction; the table is this level's.
            unsafe { self.kernels.tile(rows.len(), cols.len(), !self.a_direct)(&tile) };
        }
    }

    /// Brings a staged block into C, and hands it over while it is in cache.
    fn finish(&self, rows: Range<usize>, cols: Range<usize>, staged: &mut [T]) {
        match *self.target {
            Target::Rows { .. } => {}
            Target::Turned { c, stride } => {
                let to = c.wrapping_add(cols.start * stride + rows.start);
                // SAFETY: the block belongs to this task.
                unsafe { turn(staged, cols.len(), to, stride, rows.len()) };
            }
            Target::Staged(f) => {
                for (r, row) in rows.clone().zip(staged.chunks_mut(cols.len())) {
                    f(r, cols.start, row);
                }
            }
        }
        if let Some(then) = self.then {
            then(rows, cols);
        }
    }
}

simd_dispatch! {
    /// Turns rows of `width` elements that lie one after the other into columns: `width` rows, `stride` apart.
    ///
    /// # Safety
    /// `to` has the rows.
    unsafe fn turn<T: Compute>(from: &[T], width: usize, to: *mut T, stride: usize, rows: usize) {
        debug_assert!(from.len() >= rows * width);
        // SAFETY: the caller's contract; this is the level's copy.
        unsafe { transpose::<S, T>(from.as_ptr(), width, rows, width, stride, to) }
    }
}

/// A pointer that threads may share; they write disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct SendPtr<T>(pub *mut T);

impl<T> SendPtr<T> {
    pub fn get(self) -> *mut T {
        self.0
    }
}

// SAFETY: see above.
unsafe impl<T> Send for SendPtr<T> {}
unsafe impl<T> Sync for SendPtr<T> {}
