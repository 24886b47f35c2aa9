//! The patches a convolution reads, and their packing into panels without an im2col buffer.
//!
//! A patch matrix has one row per (channel, tap) and one column per point of the output grid, counted over the whole
//! batch. A *panel* is a run of columns as wide as a register tile; it is packed as `[row][column]`.

use crate::cpu::conv::kernel::Real;
#[cfg(target_arch = "x86_64")]
use crate::cpu::conv::lines::Lines;
#[cfg(target_arch = "x86_64")]
use crate::cpu::conv::vector::{low_mask, spread};
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Level, level};

/// Where the patches lie: column `(n, o)` of row `(c, t)` is `x[n, c, o·stride + t]`, zero outside the input.
#[derive(Clone, Debug)]
pub struct Patches {
    pub size: [usize; 3],
    pub grid: [usize; 3],
    pub stride: [usize; 3],
    /// The taps are all combinations of these, row-major.
    pub axes: [Vec<isize>; 3],
    /// Elements from one sample to the next.
    pub batch_stride: usize,
    pub batches: usize,
}

/// Lanes `lo..hi` of a panel read `x[offset + lane·stride]`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: isize,
    lo: u8,
    hi: u8,
}

/// What one panel reads for every tap.
#[derive(Default)]
pub struct Panel {
    runs: Vec<Run>,
    pieces: Vec<Piece>,
    /// `pieces[ends[t - 1]..ends[t]]` belong to tap `t`.
    ends: Vec<u32>,
    /// Instead of pieces, masked loads: `most` for every 16 lanes of a tap.
    #[cfg(target_arch = "x86_64")]
    loads: Vec<Load>,
    #[cfg(target_arch = "x86_64")]
    most: usize,
    #[cfg(target_arch = "x86_64")]
    taps: usize,
    #[cfg(target_arch = "x86_64")]
    ahead: isize,
    #[cfg(target_arch = "x86_64")]
    lines: Lines,
    /// Whether `lines` has the plan instead.
    #[cfg(target_arch = "x86_64")]
    in_lines: bool,
}

/// Columns of one panel that lie in one row of the output grid.
#[derive(Clone, Copy)]
pub(super) struct Run {
    lane: usize,
    pub len: usize,
    pub sample: usize,
    pub at: [usize; 3],
}

/// Where on an axis of `size` the tap of a grid's point lies, unless it is outside.
#[inline(always)]
pub fn place(point: usize, stride: usize, tap: isize, size: usize) -> Option<usize> {
    let at = (point * stride) as isize + tap;
    (0..size as isize).contains(&at).then_some(at as usize)
}

impl Patches {
    /// The plain matrix `x[n, c, :]`: one tap, every point of the plane a column.
    pub fn plain(batches: usize, batch_stride: usize, points: usize) -> Patches {
        Patches {
            size: [1, 1, points],
            grid: [1, 1, points],
            stride: [1; 3],
            axes: [0; 3].map(|tap| vec![tap]),
            batch_stride,
            batches,
        }
    }

    /// The number of taps.
    pub fn taps(&self) -> usize {
        self.axes.iter().map(Vec::len).product()
    }

    /// Output points of one sample.
    pub fn points(&self) -> usize {
        self.grid.iter().product()
    }

    /// Columns of the whole batch.
    pub fn columns(&self) -> usize {
        self.batches * self.points()
    }

    /// Elements of one channel.
    pub fn plane(&self) -> usize {
        self.size.iter().product()
    }

    /// Plans the panel of the columns `from..from + width` (fewer at the end of the batch).
    pub fn plan(&self, from: usize, width: usize, panel: &mut Panel) {
        panel.pieces.clear();
        panel.ends.clear();
        let mut runs = std::mem::take(&mut panel.runs);
        runs.clear();
        let end = (from + width).min(self.columns());
        let mut q = from;
        while q < end {
            let (row, w) = (q / self.grid[2], q % self.grid[2]);
            let (row, h) = (row / self.grid[1], row % self.grid[1]);
            let len = (self.grid[2] - w).min(end - q);
            let at = [row % self.grid[0], h, w];
            runs.push(Run { lane: q - from, len, sample: row / self.grid[0], at });
            q += len;
        }
        self.plan_runs(&runs, width, panel);
        panel.runs = runs;
    }

    fn plan_runs(&self, runs: &[Run], width: usize, panel: &mut Panel) {
        #[cfg(target_arch = "x86_64")]
        if masked(width, self.stride[2]) {
            panel.in_lines = panel.lines.plan(self, runs);
            if !panel.in_lines {
                self.plan_loads(runs, panel);
            }
            return;
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = width;
        let [ds, hs, ws] = &self.axes;
        for tap in ds.iter().flat_map(|&d| hs.iter().flat_map(move |&h| ws.iter().map(move |&w| [d, h, w]))) {
            panel.pieces.extend(runs.iter().filter_map(|run| self.piece(run, tap)));
            panel.ends.push(panel.pieces.len() as u32);
        }
    }

    /// As many masked loads for every half row as its lanes have runs, and at least two for stride 1.
    #[cfg(target_arch = "x86_64")]
    fn plan_loads(&self, runs: &[Run], panel: &mut Panel) {
        let step = self.stride[2];
        let of_half = |lane: usize| move |r: &&Run| r.lane < lane + 16 && r.lane + r.len > lane;
        let most = runs.iter().filter(of_half(0)).count().max(runs.iter().filter(of_half(16)).count());
        panel.most = if step == 1 { most.max(2) } else { most.max(1) };
        panel.taps = self.taps();
        // The next panel lies about this far ahead; its first touch would miss every cache.
        panel.ahead = (32 * self.stride[1] * self.size[2] / self.grid[2] + 16) as isize;
        panel.loads.clear();
        panel.loads.resize(2 * panel.taps * panel.most, Load::default());
        for (half, lane) in [0, 16].into_iter().enumerate() {
            for (slot, run) in runs.iter().filter(of_half(lane)).enumerate() {
                self.plan_run(run, half, slot, panel);
            }
        }
    }

    /// The loads of one run in one half: what they read along a row is the same for all rows.
    #[cfg(target_arch = "x86_64")]
    fn plan_run(&self, run: &Run, half: usize, slot: usize, panel: &mut Panel) {
        let ([ds, hs, ws], [depth, height, width], step) = (&self.axes, self.size, self.stride[2]);
        let lane = 16 * half;
        let (first, end) = (run.lane.max(lane) - lane, (run.lane + run.len).min(lane + 16) - lane);
        for (i, &w) in ws.iter().enumerate() {
            // The column that the first lane of the half would read, were it in this run.
            let column = (run.at[2] * step) as isize + (lane as isize - run.lane as isize) * step as isize + w;
            let lo = (first as isize).max(self.steps_up(-column));
            let hi = (end as isize).min(self.steps_up(width as isize - column));
            let mask = if lo < hi { low_mask(hi as usize) & !low_mask(lo as usize) } else { 0 };
            let mask = if step == 1 { mask } else { spread(mask) | spread(mask >> 8) << 16 };
            // A load of no lanes has an address that another one touches, lest it be slow.
            let column = if mask == 0 { 0 } else { column };
            for (j, &d) in ds.iter().enumerate() {
                let d = place(run.at[0], self.stride[0], d, depth);
                for (k, &h) in hs.iter().enumerate() {
                    let inside = d.zip(place(run.at[1], self.stride[1], h, height));
                    let (d, h) = inside.unwrap_or((0, 0));
                    let row = run.sample * self.batch_stride + (d * height + h) * width;
                    let load = Load { offset: row as isize + column, mask: inside.map_or(0, |_| mask) };
                    let tap = (j * hs.len() + k) * ws.len() + i;
                    panel.loads[(2 * tap + half) * panel.most + slot] = load;
                }
            }
        }
    }

    /// The least number of steps along a row that reaches `distance`.
    #[inline(always)]
    fn steps_up(&self, distance: isize) -> isize {
        match self.stride[2] as isize {
            1 => distance.max(0),
            2 => (distance.max(0) + 1) >> 1,
            step => (distance.max(0) + step - 1) / step,
        }
    }

    #[inline(always)]
    fn piece(&self, run: &Run, tap: [isize; 3]) -> Option<Piece> {
        let d = place(run.at[0], self.stride[0], tap[0], self.size[0])?;
        let h = place(run.at[1], self.stride[1], tap[1], self.size[1])?;
        let w = (run.at[2] * self.stride[2]) as isize + tap[2];
        let (step, width) = (self.stride[2] as isize, self.size[2] as isize);
        let (lo, hi) = (self.steps_up(-w), self.steps_up(width - w).min(run.len as isize));
        if lo >= hi {
            return None;
        }
        let row = run.sample * self.batch_stride + (d * self.size[1] + h) * self.size[2];
        let start = row as isize + w;
        let lane = run.lane as isize;
        Some(Piece { offset: start - lane * step, lo: (lane + lo) as u8, hi: (lane + hi) as u8 })
    }

    /// Packs the rows of the channels `channels` of a planned panel to `to`, `[row][width]`.
    ///
    /// # Safety
    /// `x` addresses channel 0 of the first sample of this panel's group, and `to` holds the rows.
    pub unsafe fn pack<T: Real>(
        &self,
        panel: &Panel,
        x: *const T,
        channels: std::ops::Range<usize>,
        to: *mut T,
        width: usize,
    ) {
        let (plane, taps, step) = (self.plane(), self.taps(), self.stride[2]);
        #[cfg(target_arch = "x86_64")]
        if masked(width, step) {
            let x = x.wrapping_add(channels.start * plane).cast();
            // SAFETY: only f32 has panels of 32 columns; the caller's contract covers the rest.
            unsafe {
                if panel.in_lines {
                    panel.lines.pack(x, plane, channels.len(), to.cast());
                } else {
                    pack_avx512(panel, x, plane, step, channels.len(), to.cast());
                }
            }
            return;
        }
        let mut first = 0;
        for (t, &end) in panel.ends.iter().enumerate() {
            let pieces = &panel.pieces[first as usize..end as usize];
            first = end;
            let rows = Rows {
                x: x.wrapping_add(channels.start * plane),
                plane,
                to: to.wrapping_add(t * width),
                to_stride: taps * width,
                count: channels.len(),
                step,
            };
            // SAFETY: the caller's contract; pieces lie inside the planes.
            unsafe { pack_pieces(&rows, pieces, width) };
        }
    }
}

/// The rows of one tap: channel `i` is read at `x + i·plane` and written at `to + i·to_stride`.
struct Rows<T> {
    x: *const T,
    plane: usize,
    to: *mut T,
    to_stride: usize,
    count: usize,
    step: usize,
}

unsafe fn pack_pieces<T: Real>(rows: &Rows<T>, pieces: &[Piece], width: usize) {
    let covered: usize = pieces.iter().map(|p| (p.hi - p.lo) as usize).sum();
    for i in 0..rows.count {
        let (x, to) = (rows.x.wrapping_add(i * rows.plane), rows.to.wrapping_add(i * rows.to_stride));
        // SAFETY: the contract of `Patches::pack`.
        unsafe {
            if covered < width {
                std::slice::from_raw_parts_mut(to, width).fill(T::default());
            }
            for p in pieces {
                for lane in p.lo as usize..p.hi as usize {
                    *to.add(lane) = *x.wrapping_offset(p.offset + (lane * rows.step) as isize);
                }
            }
        }
    }
}

/// A masked load of 16 lanes; for stride 2 of twice as many, of which the even ones are kept.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Default)]
struct Load {
    offset: isize,
    mask: u32,
}

/// Whether panels are packed by masked loads: 32 float32 columns, strides 1 and 2.
#[cfg(target_arch = "x86_64")]
fn masked(width: usize, step: usize) -> bool {
    width == 32 && step <= 2 && level() == Level::Avx512
}

/// Packs panels of 32 float32 with masked loads; strides 1 and 2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
unsafe fn pack_avx512(panel: &Panel, x: *const f32, plane: usize, step: usize, channels: usize, to: *mut f32) {
    use std::arch::x86_64::*;
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let halves = 2 * panel.taps;
    let (most, ahead, loads) = (panel.most, panel.ahead, &panel.loads[..]);
    for c in 0..channels {
        let (x, to) = (x.wrapping_add(c * plane), to.wrapping_add(c * halves * 16));
        // SAFETY: masked lanes lie inside the input, the rest is not touched; `to` holds all halves.
        unsafe {
            if step == 1 && most == 2 {
                for (i, l) in loads.chunks_exact(2).enumerate() {
                    let v = _mm512_maskz_loadu_ps(l[0].mask as u16, x.wrapping_offset(l[0].offset));
                    _mm_prefetch::<_MM_HINT_T0>(x.wrapping_offset(l[0].offset + ahead).cast());
                    let v = _mm512_mask_loadu_ps(v, l[1].mask as u16, x.wrapping_offset(l[1].offset));
                    _mm512_store_ps(to.wrapping_add(i * 16), v);
                }
            } else if step == 1 {
                for (i, l) in loads.chunks_exact(most).enumerate() {
                    let mut v = _mm512_setzero_ps();
                    for l in l {
                        _mm_prefetch::<_MM_HINT_T0>(x.wrapping_offset(l.offset + ahead).cast());
                        v = _mm512_mask_loadu_ps(v, l.mask as u16, x.wrapping_offset(l.offset));
                    }
                    _mm512_store_ps(to.wrapping_add(i * 16), v);
                }
            } else {
                for (i, l) in loads.chunks_exact(most).enumerate() {
                    let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
                    for l in l {
                        let p = x.wrapping_offset(l.offset);
                        // Steps are those of large windows, of which few planes are packed at once: the next ones come soon.
                        _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(2 * plane).cast());
                        low = _mm512_mask_loadu_ps(low, l.mask as u16, p);
                        high = _mm512_mask_loadu_ps(high, (l.mask >> 16) as u16, p.wrapping_add(16));
                    }
                    _mm512_store_ps(to.wrapping_add(i * 16), _mm512_permutex2var_ps(low, even, high));
                }
            }
        }
    }
}

/// Turns `count` rows of `width` elements, `pitch` apart, into `[column][to_width]`, where `count ≤ to_width`; lanes beyond
/// `count` stay as they are.
///
/// # Safety
/// `from` has the rows and `to` holds `width · to_width` elements.
pub unsafe fn transpose<T: Real>(
    from: *const T,
    pitch: usize,
    width: usize,
    count: usize,
    to: *mut T,
    to_width: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if T::DTYPE == crate::dtype::DType::F32 && width.is_multiple_of(16) && level() == Level::Avx512 {
        // SAFETY: T is f32 and the level is available.
        unsafe { transpose_avx512(from.cast(), pitch, width, count, to.cast(), to_width) };
        return;
    }
    for j in 0..width {
        for r in 0..count {
            // SAFETY: the caller's contract.
            unsafe { *to.add(j * to_width + r) = *from.add(r * pitch + j) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
unsafe fn transpose_avx512(from: *const f32, pitch: usize, width: usize, count: usize, to: *mut f32, to_width: usize) {
    use std::arch::x86_64::*;
    let mut row = 0;
    while row < count {
        let rows = (count - row).min(16);
        for column in (0..width).step_by(16) {
            // SAFETY: rows beyond `count` are neither read nor written.
            unsafe {
                let mut v = [_mm512_setzero_ps(); 16];
                for (i, v) in v.iter_mut().enumerate().take(rows) {
                    *v = _mm512_loadu_ps(from.add((row + i) * pitch + column));
                }
                let v = transpose_16(v);
                let mask = ((1u32 << rows) - 1) as u16;
                for (j, v) in v.into_iter().enumerate() {
                    _mm512_mask_storeu_ps(to.add((column + j) * to_width + row), mask, v);
                }
            }
        }
        row += 16;
    }
}

/// The transpose of 16×16 float32 in registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_16(v: [std::arch::x86_64::__m512; 16]) -> [std::arch::x86_64::__m512; 16] {
    use std::arch::x86_64::*;
    // SAFETY: registers only; the caller has AVX-512.
    unsafe {
        let mut a = v;
        for i in 0..8 {
            a[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
            a[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
        }
        let mut b = a;
        for i in 0..4 {
            let pair = |x: __m512, y: __m512| (_mm512_castps_pd(x), _mm512_castps_pd(y));
            let (lo0, lo1) = pair(a[4 * i], a[4 * i + 2]);
            let (hi0, hi1) = pair(a[4 * i + 1], a[4 * i + 3]);
            b[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo0, lo1));
            b[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo0, lo1));
            b[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(hi0, hi1));
            b[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(hi0, hi1));
        }
        // b[4i + j], 128-bit block k: column 4k + j of the rows 4i..4i + 4.
        let mut out = b;
        for j in 0..4 {
            let (r0, r1, r2, r3) = (b[j], b[4 + j], b[8 + j], b[12 + j]);
            let (x0, x1) = (_mm512_shuffle_f32x4::<0x44>(r0, r1), _mm512_shuffle_f32x4::<0xee>(r0, r1));
            let (y0, y1) = (_mm512_shuffle_f32x4::<0x44>(r2, r3), _mm512_shuffle_f32x4::<0xee>(r2, r3));
            out[j] = _mm512_shuffle_f32x4::<0x88>(x0, y0);
            out[4 + j] = _mm512_shuffle_f32x4::<0xdd>(x0, y0);
            out[8 + j] = _mm512_shuffle_f32x4::<0x88>(x1, y1);
            out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(x1, y1);
        }
        out
    }
}
